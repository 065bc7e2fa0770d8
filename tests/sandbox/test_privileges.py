from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arena

ROOT = Path(__file__).parents[2]
KEPT = sum(1 << number for number in (0, 1, 3, 4, 5, 14, 23, 24))

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl and capabilities are Linux's")


def test_drop_capabilities__leaves_the_harmless_ones_and_no_way_back(landlock_arena: Arena) -> None:
    code = """
def attempt():
    import subprocess
    own = open('/proc/self/status').read()
    command = [sys.executable, '-c', 'import ctypes; l = ctypes.CDLL(None); h = (ctypes.c_uint32 * 2)(0x20080522, 0);'
               's = (ctypes.c_uint32 * 6)(); l.capget(h, s); print(s[0] | s[3] << 32, s[1] | s[4] << 32)']
    child = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    fields = dict(line.split(':') for line in own.splitlines())
    return [int(fields[name], 16) for name in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb')] + [
        int(word) for word in child] + [int(fields['NoNewPrivs'])]
"""
    outcome = landlock_arena.attempt(code, "landlock")
    assert outcome.reached is not None, outcome
    *capabilities, no_new_privileges = ast.literal_eval(outcome.reached)
    assert [held & ~KEPT for held in capabilities] == [0] * 6
    assert no_new_privileges == 1


def test_die_with_parent__ends_the_worker_also_after_the_seal() -> None:
    """The worker sleeps; its parent is killed; the worker must be gone although nobody told it."""
    worker = (
        "import os, sys, time; from dfkdbench.sandbox import Policy, die_with_parent, seal;"
        "die_with_parent(int(sys.argv[1])); seal(Policy(), 'auto'); print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent = (
        "import os, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], str(os.getpid())], check=True)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", parent, worker], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert _is_alive(pid)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while _is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _is_alive(pid)


def test_die_with_parent__notices_a_parent_that_is_gone() -> None:
    code = "from dfkdbench.sandbox import die_with_parent; die_with_parent(999999999); print('alive')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (-9, "")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

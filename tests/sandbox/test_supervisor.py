"""A supervised process leaves nobody behind, whoever is killed, and its exit code comes through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dfkdbench.sandbox import END_ALL

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl and /proc are Linux's")

PROLOGUE = """
import os, signal, sys, time
from dfkdbench.sandbox import go_on_supervised
go_on_supervised()
def say(*words): print(*words, flush=True)
def leave():
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(there, b"%d" % os.getpid())
            os.close(1)
            time.sleep(60)
        os._exit(0)
    os.waitpid(child, 0)
    say(int(os.read(here, 20)))
"""


def start(code: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROLOGUE + code]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("sys.exit(75)", 75),
        ("", 0),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("raise ValueError", 1),
    ],
)
def test_supervised__exit_codes_come_through(code: str, expected: int) -> None:
    with start(code) as process:
        assert process.wait(timeout=60) == expected


@pytest.mark.parametrize("end", ["sys.exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_supervised__what_it_leaves_is_gone_when_it_has_ended(end: str) -> None:
    with start(f"leave(); leave(); {end}") as process:
        left = [said(process), said(process)]
        process.wait(timeout=60)
        assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("kill", [END_ALL, signal.SIGTERM])
def test_supervised__a_signal_to_its_supervisor_ends_it_and_all(kill: signal.Signals) -> None:
    with start("say(os.getpid()); leave(); time.sleep(60)") as process:
        worker, left = said(process), said(process)
        process.send_signal(kill)
        assert process.wait(timeout=60) == 128 + (signal.SIGKILL if kill == END_ALL else kill)
        for pid in (worker, left):
            assert not Path(f"/proc/{pid}").exists()


def test_supervised__sigterm_is_its_own_to_answer() -> None:
    answer = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); say(1); time.sleep(60)"
    with start(answer) as process:
        said(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 75


def test_supervised__a_killed_supervisor_takes_it_along() -> None:
    with start("say(os.getpid()); time.sleep(60)") as process:
        worker = said(process)
        process.kill()
        wait_until_gone(worker)


def test_supervised__a_killed_parent_takes_all_of_them_along() -> None:
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {PROLOGUE!r} + sys.argv[1]])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = "say(os.getppid()); say(os.getpid()); leave(); time.sleep(60)"
    command = [sys.executable, "-c", parent, code]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        pids = [said(process) for _ in range(3)]
        process.kill()
        for pid in pids:
            wait_until_gone(pid)


def test_supervised__descriptors_that_it_alone_holds_are_closed_when_it_closes_them() -> None:
    code = """
from dfkdbench.sandbox import go_on_supervised
import os, time
reading, writing = os.pipe()
if os.fork() == 0:
    os.close(reading)
    go_on_supervised(held=[writing])
    os.close(writing)
    time.sleep(60)
os.close(writing)
print(os.read(reading, 1) == b"", flush=True)
os._exit(0)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30)
    assert done.stdout == "True\n", done.stderr

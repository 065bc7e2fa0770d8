"""Sealed runs of two processes: killed, stopped and resumed, and failures in one of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMMON = ("--plugin", "random-generator", "--generator", "conv", "--loss", "one_hot=1")
STEPS = ("--set", "phases.distil.generator_steps=1")
CELL = ("--dataset", "digits", "--pair", "resnet_s:resnet_xs", "--budget", "smoke", "--threads", "1", "--device", "cpu")
SLOWLY = ("--checkpoint-seconds", "0", "--set", "batch_size=32")
PATIENCE_SECONDS = 120


def start(out: Path, *more: str) -> subprocess.Popen[str]:
    words = ("run", *COMMON, *STEPS, *CELL, "--processes", "2", "--json", "--out", str(out), *more)
    return subprocess.Popen(
        [sys.executable, "-m", "dfkdbench", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
    )


def record_of(judge: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = judge.communicate(timeout=300)
    assert judge.returncode == 0, stderr
    (record,) = json.loads(stdout)
    return dict(record)


def ranks_of(out: Path) -> list[int]:
    """Process ids of a run's processes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "dfkdbench.rank" in words and any(word.startswith(f"{out}{os.sep}") for word in words):
            found.append(int(folder.name))
    return sorted(found)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def has_checkpoint(out: Path) -> bool:
    return any(out.glob("*/checkpoint/[0-9]*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return record_of(start(tmp_path_factory.mktemp("whole"), *SLOWLY))


def test_record__says_who_did_the_run(whole: dict[str, Any]) -> None:
    assert (whole["status"], whole["processes"], whole["batch_statistics"]) == ("finished", 2, "synchronised")
    assert whole["student_samples"] == 2560
    assert whole["isolation"].endswith("; high ports open")


def test_killed__says_so_keeps_the_checkpoint_and_resumes_to_the_same_student(
    tmp_path: Path, whole: dict[str, Any]
) -> None:
    judge = start(tmp_path, *SLOWLY)
    wait_for(lambda: has_checkpoint(tmp_path))
    os.kill(ranks_of(tmp_path)[1], signal.SIGKILL)
    _, stderr = judge.communicate(timeout=PATIENCE_SECONDS)
    assert judge.returncode == 1
    assert "One of the 2 processes of " in stderr
    assert "resumes with the same command" in stderr
    assert has_checkpoint(tmp_path)
    assert not any(tmp_path.glob("*/result.json"))
    assert not ranks_of(tmp_path)
    judge = start(tmp_path, *SLOWLY)
    wait_for(lambda: len(ranks_of(tmp_path)) == 2)
    judge.terminate()
    judge.communicate(timeout=PATIENCE_SECONDS)
    assert judge.returncode == 75
    assert not ranks_of(tmp_path)
    assert record_of(start(tmp_path, *SLOWLY))["student_sha256"] == whole["student_sha256"]

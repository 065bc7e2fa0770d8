"""Commands as processes: how many fit, how they end, and that none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from dfkdbench.errors import PlanError
from dfkdbench.executors.jobs import Job, Process, Resources, last_words
from dfkdbench.executors.local import LocalExecutor, LocalOptions, capacity

ONE = Resources(threads=1, memory_gb=0.1)


def job(folder: Path, *arguments: str, key: str = "a", resources: Resources = ONE) -> Job:
    return Job(key, arguments, resources, folder / "logs" / f"{key}.log")


@pytest.mark.parametrize(
    ("each", "gpus", "workers", "expected"),
    [
        (Resources(threads=2, memory_gb=1), 0, None, 4),
        (Resources(threads=1, memory_gb=5), 0, None, 6),
        (Resources(threads=1, gpus=1, memory_gb=1), 2, None, 2),
        (Resources(threads=1, gpus=0.25, memory_gb=1), 1, None, 4),
        (Resources(threads=1, gpus=0.4, memory_gb=1), 2, None, 4),
        (Resources(threads=1, gpus=2, memory_gb=1), 4, None, 2),
        (Resources(threads=1, memory_gb=1), 0, 20, 20),
        (Resources(threads=1, gpus=0.5, memory_gb=1), 1, 20, 2),
    ],
)
def test_capacity__is_what_cores_memory_and_gpus_hold(
    each: Resources, gpus: int, workers: int | None, expected: int
) -> None:
    assert capacity(each, 8, 32.0, gpus, workers) == expected


@pytest.mark.parametrize(
    ("each", "short"),
    [
        (Resources(threads=16), "too little cores"),
        (Resources(memory_gb=64), "too little memory"),
        (Resources(gpus=1), "too little GPUs"),
    ],
)
def test_capacity__says_what_is_short(each: Resources, short: str) -> None:
    with pytest.raises(PlanError, match=short):
        capacity(each, 8, 32.0, 0)


def test_gpus__runs_share_one_and_no_gpu_gets_more_than_it_holds(tmp_path: Path) -> None:
    half = Resources(threads=1, gpus=0.5, memory_gb=0.1)
    executor = LocalExecutor(LocalOptions(workers=4), half, gpus=("3", "7"))
    taken = [executor._take(0.5) for _ in range(4)]
    assert sorted(taken) == [("3",), ("3",), ("7",), ("7",)]
    assert set(executor._free.values()) == {0.0}


def test_command__runs_and_says_its_last_words(tmp_path: Path) -> None:
    executor = LocalExecutor(LocalOptions(workers=2), ONE)
    executor.submit(job(tmp_path, "--version", key="a"))
    executor.submit(job(tmp_path, "describe", "nothing-like-this", key="b"))
    assert executor.room() == 0
    endings = {}
    while len(endings) < 2:
        endings |= {ending.key: ending for ending in executor.wait(5)}
    assert (endings["a"].exit_status, endings["b"].exit_status) == (0, 2)
    assert "dfkdbench" in endings["a"].message
    assert "nothing-like-this" in endings["b"].message
    assert executor.room() == 2


def test_last_words__are_those_of_this_start(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    log.parent.mkdir()
    log.write_text("an earlier start\n")
    assert "earlier" not in Process(job(tmp_path, "--version")).wait().message
    assert last_words(["", "  "]) == ""


def test_driver_killed__its_commands_die_with_it(tmp_path: Path) -> None:
    code = f"""
        from pathlib import Path
        from dfkdbench.executors.jobs import Job, Process, Resources
        process = Process(Job("a", ("run", "--plugin=noise", "--dataset=digits", "--budget=paper", "--threads=1",
                                    "--out={tmp_path}/runs"), Resources(), Path("{tmp_path}/a.log")))
        print(process._process.pid, flush=True)
        process.wait()
    """
    driver = subprocess.Popen([sys.executable, "-P", "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    child = int(driver.stdout.readline())
    driver.kill()
    driver.wait()
    driver.stdout.close()
    until = time.monotonic() + 10
    while time.monotonic() < until and _runs(child):
        time.sleep(0.05)
    assert not _runs(child)


def test_stop__a_run_leaves_a_checkpoint(tmp_path: Path) -> None:
    executor = LocalExecutor(LocalOptions(workers=1), ONE)
    flags = ("--plugin=noise", "--dataset=digits", "--budget=standard", "--threads=1", f"--out={tmp_path / 'runs'}")
    executor.submit(job(tmp_path, "run", *flags))
    while not list(tmp_path.glob("runs/*/snapshots/*.safetensors")):
        assert not executor.wait(0.1)
    (ending,) = executor.stop()
    assert ending.checkpointed, ending
    assert list(tmp_path.glob("runs/*/checkpoint/*.safetensors"))
    assert executor.wait(0) == []


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_close__kills_what_runs(tmp_path: Path) -> None:
    executor = LocalExecutor(LocalOptions(workers=1), ONE)
    executor.submit(job(tmp_path, "run", "--plugin=noise", "--dataset=digits", "--budget=paper", f"--out={tmp_path}"))
    process = executor._processes["a"][0]._process
    executor.close()
    assert process.returncode == -signal.SIGKILL

"""SLURM's executor with submitit's own processes: runs end, are carried over when pre-empted, and stop."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from dfkdbench.errors import RunError
from dfkdbench.executors.jobs import Ending, Job, Resources
from dfkdbench.executors.slurm import SlurmExecutor, SlurmOptions, _parameters
from dfkdbench.records import find_results

submitit = pytest.importorskip("submitit")

ONE = Resources(threads=1, memory_gb=1.5)


@pytest.fixture
def executor(tmp_path: Path) -> SlurmExecutor:
    return SlurmExecutor(SlurmOptions(cluster="local", minutes=10), ONE, tmp_path)


def job(folder: Path, key: str, *arguments: str) -> Job:
    return Job(key, arguments, ONE, folder / "logs" / f"{key}.log")


def run_flags(folder: Path, budget: str) -> tuple[str, ...]:
    return (
        "run",
        "--plugin=noise",
        "--dataset=digits",
        f"--budget={budget}",
        "--threads=1",
        f"--out={folder / 'runs'}",
    )


def wait_for_all(executor: SlurmExecutor, count: int, seconds: float = 120.0) -> dict[str, Ending]:
    ended: dict[str, Ending] = {}
    until = time.monotonic() + seconds
    while len(ended) < count:
        assert time.monotonic() < until, "they did not end"
        ended |= {ending.key: ending for ending in executor.wait(1.0)}
    return ended


def test_resources__become_those_of_slurm() -> None:
    options = SlurmOptions(partition="gpu", account="me", setup=("module load cuda",), array=7)
    given = _parameters(options, Resources(threads=4, gpus=0.25, memory_gb=7.5))
    assert given == {
        "name": "dfkdbench",
        "timeout_min": 60,
        "cpus_per_task": 4,
        "gpus_per_node": 1,
        "mem_gb": 8,
        "slurm_array_parallelism": 7,
        "slurm_partition": "gpu",
        "slurm_account": "me",
        "slurm_setup": ["module load cuda"],
    }


def test_no_slurm_here__is_an_error_for_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RunError, match="SLURM can't be used here"):
        SlurmExecutor(SlurmOptions(), ONE, tmp_path)


def test_jobs__are_queued_as_one_lot_and_end_like_anywhere(tmp_path: Path, executor: SlurmExecutor) -> None:
    executor.submit(job(tmp_path, "a", "--version"))
    executor.submit(job(tmp_path, "b", "describe", "nothing-like-this"))
    assert executor._queued == {}
    ended = wait_for_all(executor, 2)
    assert (ended["a"].exit_status, ended["b"].exit_status) == (0, 2)
    assert "nothing-like-this" in ended["b"].message


def test_preempted_job__leaves_a_checkpoint_is_requeued_and_finishes(tmp_path: Path, executor: SlurmExecutor) -> None:
    executor.submit(job(tmp_path, "a", *run_flags(tmp_path, "standard")))
    executor.wait(0)
    until = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/snapshots/*.safetensors")):
        assert time.monotonic() < until
        time.sleep(0.1)
    handle: Any = executor._queued["a"][0]
    _task_of(handle.job_id, signal.SIGUSR2)
    ended = wait_for_all(executor, 1, 200)
    assert ended["a"].exit_status == 0, ended
    (result,), problems = find_results(tmp_path / "runs")
    assert result.status == "finished"
    assert not problems
    log = (tmp_path / "logs" / "a.log").read_text(encoding="utf-8")
    assert "The same command resumes the run where it was" in log


def test_stop__ends_what_runs(tmp_path: Path, executor: SlurmExecutor) -> None:
    executor.submit(job(tmp_path, "a", *run_flags(tmp_path, "paper")))
    executor.wait(2)
    (ending,) = executor.stop()
    assert ending.exit_status != 0
    assert executor.room() == SlurmOptions().in_flight


def _task_of(controller: str, number: signal.Signals) -> None:
    """Sends a signal to the task that submitit's controller started, as SLURM does on pre-emption."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = path.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if parent == controller:
            os.kill(int(path.parent.name), number)

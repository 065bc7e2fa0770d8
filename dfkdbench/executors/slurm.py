"""SLURM, through submitit: each lot of jobs is one array, and a job that is pre-empted is requeued and goes on.

Driver and jobs share the runs folder. A job that reaches its time limit leaves a checkpoint and is requeued as well.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from dfkdbench.errors import RunError
from dfkdbench.executors.jobs import CHECKPOINTED, KEPT, KILLED, Ending, Job, Process, Resources
from dfkdbench.recipe import Options

_POLL_SECONDS = 0.5
_GO_ON = "Nothing finished is lost: the same command goes on where it was."


class SlurmOptions(Options):
    """Options of the executor `slurm`."""

    cluster: Literal["slurm", "local"] = Field(
        "slurm", description="local: submitit's own processes on this machine, to try a campaign out."
    )
    partition: str | None = Field(None, description="Partition.")
    account: str | None = Field(None, description="Account.")
    qos: str | None = Field(None, description="Quality of service.")
    minutes: int = Field(60, ge=1, description="Time limit of one start of a job.")
    requeues: int = Field(20, ge=0, description="How often a job may reach its time limit and be requeued.")
    array: int = Field(256, ge=1, description="Jobs of an array that run at a time.")
    in_flight: int = Field(1000, ge=1, description="Jobs that are queued or running at a time.")
    setup: tuple[str, ...] = Field((), description="Shell lines before each job, such as 'module load cuda'.")


class Task:
    """What submitit pickles: a job, and how it is carried over when it is pre-empted."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._process: Process | None = None

    def __call__(self) -> Ending:
        """Runs the job to its end, or to a checkpoint where it is interrupted."""
        self._process = Process(self.job)
        while True:
            try:
                return self._process.wait()
            except KeyboardInterrupt:
                self._process.ask_to_stop()

    def checkpoint(self) -> Any:
        """Called by submitit on pre-emption and near the time limit: a checkpoint, then the same job again."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            self._process.ask_to_stop()
            self._process.wait()
        return DelayedSubmission(Task(self.job))


class SlurmExecutor:
    """Jobs as job arrays.

    Args:
        folder: The runs folder, below which submitit keeps its scripts and logs.

    Raises:
        RunError: There is no SLURM here.
    """

    def __init__(self, options: SlurmOptions, each: Resources, folder: Path) -> None:
        import submitit

        self._options, self._fresh = options, list[Job]()
        self._queued: dict[str, tuple[Any, float]] = {}
        try:
            self._executor = submitit.AutoExecutor(
                folder / KEPT / "submitit",
                cluster=options.cluster,
                slurm_max_num_timeout=options.requeues,
                local_max_num_timeout=options.requeues,
            )
            self._executor.update_parameters(**_parameters(options, each))
        except RuntimeError as error:
            raise RunError(
                f"SLURM can't be used here: {error} Try another --executor, or executor.cluster=local."
            ) from None

    def room(self) -> int:
        """How many more jobs it takes now."""
        return self._options.in_flight - len(self._queued) - len(self._fresh)

    def submit(self, job: Job) -> None:
        """Takes a job; it is queued, with the others of its lot, at the next `wait`."""
        self._fresh.append(job)

    def wait(self, seconds: float) -> list[Ending]:
        """The jobs that ended; waits for the first, but no longer than that."""
        self._queue()
        until = time.monotonic() + seconds
        while not (ended := self._ended()) and time.monotonic() < until:
            time.sleep(min(_POLL_SECONDS, seconds))
        return ended

    def stop(self) -> list[Ending]:
        """Cancels every job: SLURM asks it to end, it leaves a checkpoint."""
        self._fresh.clear()
        for job, _ in self._queued.values():
            job.cancel(check=False)
        ended = []
        while self._queued:
            ended += self.wait(_POLL_SECONDS)
        return ended

    def close(self) -> None:
        """Cancels what is still queued."""
        for job, _ in self._queued.values():
            job.cancel(check=False)
        self._queued.clear()

    def _queue(self) -> None:
        if not self._fresh:
            return
        lot, self._fresh = self._fresh, []
        try:
            queued = self._executor.submit_array([Task(job) for job in lot])
        except Exception as error:  # submitit raises whatever the cluster's tools bring about
            raise RunError(f"SLURM took no jobs: {error}. {_GO_ON}") from None
        now = time.monotonic()
        self._queued |= {job.key: (handle, now) for job, handle in zip(lot, queued, strict=True)}

    def _ended(self) -> list[Ending]:
        ended = []
        for key, (handle, since) in list(self._queued.items()):
            if not handle.done():
                continue
            del self._queued[key]
            ended.append(_ending(key, handle, time.monotonic() - since))
        return ended


def _ending(key: str, handle: Any, seconds: float) -> Ending:
    """How a job ended; one without a result was killed or cancelled."""
    try:
        result: Ending = handle.result()
    except Exception as error:  # submitit passes on whatever ended the job
        state, reason = str(handle.state), str(error).strip().splitlines()[-1]
        return Ending(key, CHECKPOINTED[0] if "CANCELLED" in state else KILLED, seconds, f"{state}: {reason}")
    return result


def _parameters(options: SlurmOptions, each: Resources) -> dict[str, Any]:
    """Those of submitit for a job of these resources."""
    given = {
        "slurm_partition": options.partition,
        "slurm_account": options.account,
        "slurm_qos": options.qos,
        "slurm_setup": list(options.setup) or None,
    }
    return {
        "name": "dfkdbench",
        "timeout_min": options.minutes,
        "cpus_per_task": each.threads,
        "gpus_per_node": math.ceil(each.gpus),
        "mem_gb": math.ceil(each.memory_gb),
        "slurm_array_parallelism": options.array,
        **{name: value for name, value in given.items() if value is not None},
    }

"""This machine: as many commands at a time as its cores, memory and GPUs hold."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import Field

from dfkdbench.devices import available_cores, memory_bytes
from dfkdbench.errors import PlanError
from dfkdbench.executors.jobs import Ending, Job, Process, Resources
from dfkdbench.recipe import Options

_POLL_SECONDS = 0.1


class LocalOptions(Options):
    """Options of the executor `local`."""

    workers: int | None = Field(None, ge=1, description="Runs at a time; as many as fit otherwise.")


class LocalExecutor:
    """A pool of processes.

    Args:
        each: What every job needs.
        gpus: Names of the GPUs as `CUDA_VISIBLE_DEVICES` takes them; those of this process by default.

    Raises:
        PlanError: Not one job fits this machine.
    """

    def __init__(
        self, options: LocalOptions, each: Resources, _folder: Path | None = None, gpus: tuple[str, ...] | None = None
    ) -> None:
        names = visible_gpus() if gpus is None and each.gpus else gpus or ()
        self._free = dict.fromkeys(names, 1.0)
        self._capacity = capacity(each, available_cores(), _memory_gb(), len(names), options.workers)
        self._processes: dict[str, tuple[Process, tuple[str, ...]]] = {}

    @property
    def capacity(self) -> int:
        """Jobs at a time."""
        return self._capacity

    def room(self) -> int:
        """How many more jobs it takes now."""
        return self._capacity - len(self._processes)

    def submit(self, job: Job) -> None:
        """Starts a job, on the GPUs with the most room where it needs some."""
        taken = self._take(job.resources.gpus)
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(taken)} if taken else {}
        self._processes[job.key] = (Process(job, environment), taken)

    def wait(self, seconds: float) -> list[Ending]:
        """The jobs that ended; waits for the first, but no longer than that."""
        until = time.monotonic() + seconds
        while not (ended := self._ended()) and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        return ended

    def stop(self) -> list[Ending]:
        """Asks every job to leave a checkpoint, and waits until all have ended."""
        for process, _ in self._processes.values():
            process.ask_to_stop()
        ended = []
        while self._processes:
            ended += self.wait(_POLL_SECONDS)
        return ended

    def close(self) -> None:
        """Kills what still runs."""
        for process, _ in self._processes.values():
            process.kill()
        self._processes.clear()

    def _ended(self) -> list[Ending]:
        ended = []
        for key, (process, taken) in list(self._processes.items()):
            if (ending := process.ending()) is None:
                continue
            del self._processes[key]
            for name in taken:
                self._free[name] += _share(process.job.resources.gpus)
            ended.append(ending)
        return ended

    def _take(self, gpus: float) -> tuple[str, ...]:
        count = max(1, round(gpus)) if gpus else 0
        taken = sorted(self._free, key=lambda name: -self._free[name])[:count]
        for name in taken:
            self._free[name] -= _share(gpus)
        return tuple(taken)


def capacity(each: Resources, cores: int, memory_gb: float | None, gpus: int, workers: int | None = None) -> int:
    """How many jobs fit at a time.

    Args:
        workers: What the user wants instead of what cores and memory hold. GPUs bound it all the same.

    Raises:
        PlanError: None fits.
    """
    bounds = {"cores": cores // each.threads}
    if memory_gb is not None:
        bounds["memory"] = int(memory_gb // each.memory_gb)
    if workers is not None:
        bounds = {"workers": workers}
    if each.gpus:
        bounds["GPUs"] = int(gpus // each.gpus) if each.gpus >= 1 else gpus * int(1 // each.gpus)
    short = min(bounds, key=lambda name: bounds[name])
    if bounds[short] < 1:
        memory = "unknown" if memory_gb is None else f"{memory_gb:.0f} GB"
        raise PlanError(
            f"A run needs {each.threads} threads, {each.memory_gb:g} GB and {each.gpus:g} GPUs, and this machine has "
            f"{cores} cores, {memory} and {gpus} GPUs: too little {short}. Change [resources] of the campaign."
        )
    return bounds[short]


def visible_gpus() -> tuple[str, ...]:
    """GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip())
    import torch

    return tuple(map(str, range(torch.cuda.device_count())))


def _share(gpus: float) -> float:
    """What a job takes of each of its GPUs."""
    return min(gpus, 1.0)


def _memory_gb() -> float | None:
    import torch

    total = memory_bytes(torch.device("cpu"))
    return None if total is None else total / 1e9

"""A Ray cluster. Jobs go to its workers as commands, and come back as exit statuses and, where need be, records.

Data sets never enter Ray's object store: each machine reads its own --data-root. Where the workers share the driver's
runs folder, nothing but an exit status comes back. Where they don't, the files of a finished run come with it.
"""

from __future__ import annotations

import secrets
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from dfkdbench.errors import RunError
from dfkdbench.executors.jobs import CHECKPOINTED, KEPT, KILLED, Ending, Job, Resources, run_job
from dfkdbench.files import read_no_follow, write_atomically
from dfkdbench.recipe import Options
from dfkdbench.runfolder import RunFolder

_TOKEN = "token"
_KNOCK_SECONDS = 10.0
_LARGEST_FILE = 1 << 30
_GO_ON = "Nothing finished is lost: the same command goes on where it was."


class RayOptions(Options):
    """Options of the executor `ray`."""

    address: str | None = Field(
        None, description="Address of a cluster. Otherwise RAY_ADDRESS, one that runs on this machine, or a new one."
    )
    in_flight: int = Field(1000, ge=1, description="Runs handed to the cluster at a time; it queues what has no room.")


@dataclass(frozen=True)
class Delivery:
    """What a worker of the cluster sends back.

    Attributes:
        files: Of the run's folder, by path inside it, where the driver does not see that folder.
    """

    ending: Ending
    files: dict[str, bytes]


class RayExecutor:
    """Jobs as tasks of a cluster, each with the CPUs, GPUs and memory it needs.

    The cluster itself never repeats a task: a worker that dies is an ending like others, which the driver counts.

    Args:
        folder: The runs folder.

    Raises:
        RunError: The cluster can't be reached.
    """

    def __init__(self, options: RayOptions, each: Resources, folder: Path) -> None:
        import ray

        self._ray, self._folder, self._in_flight = ray, folder, options.in_flight
        self._started: dict[Any, tuple[Job, float]] = {}
        self._token = secrets.token_hex(16)
        write_atomically(folder / KEPT / _TOKEN, self._token)
        with self._cluster("can't be reached"):
            _knock(options.address)
            ray.init(address=options.address, include_dashboard=False, log_to_driver=False, configure_logging=False)
        self._remote = ray.remote(
            num_cpus=each.threads, num_gpus=each.gpus, memory=int(each.memory_gb * 1e9), max_retries=0
        )(deliver)

    def room(self) -> int:
        """How many more jobs it takes now."""
        return self._in_flight - len(self._started)

    def submit(self, job: Job) -> None:
        """Hands a job to the cluster."""
        with self._cluster("is gone"):
            reference = self._remote.remote(job, str(self._folder), self._token)
        self._started[reference] = (job, time.monotonic())

    def wait(self, seconds: float) -> list[Ending]:
        """The jobs that ended; waits for the first, but no longer than that."""
        if not self._started:
            return []
        with self._cluster("is gone"):
            ready, _ = self._ray.wait(list(self._started), num_returns=len(self._started), timeout=0)
            if not ready:
                ready, _ = self._ray.wait(list(self._started), num_returns=1, timeout=seconds)
        return [self._collect(reference) for reference in ready]

    def stop(self) -> list[Ending]:
        """Interrupts every task, so that it leaves a checkpoint, and waits until all have ended."""
        with self._cluster("is gone"):
            for reference in self._started:
                self._ray.cancel(reference)
        ended = []
        while self._started:
            ended += self.wait(1.0)
        return ended

    def close(self) -> None:
        """Leaves the cluster, which ends the tasks of this driver; one that was started here ends too."""
        self._ray.shutdown()

    def _collect(self, reference: Any) -> Ending:
        job, started = self._started.pop(reference)
        seconds = time.monotonic() - started
        errors = self._ray.exceptions
        try:
            with self._cluster("is gone", errors.LocalRayletDiedError, errors.RaySystemError):
                delivery: Delivery = self._ray.get(reference)
        except errors.TaskCancelledError:
            return Ending(job.key, CHECKPOINTED[0], seconds, "stopped")
        except errors.RayTaskError:
            raise
        except errors.RayError as error:  # the worker or its machine died, or ran out of memory
            return Ending(job.key, KILLED, seconds, f"the cluster's worker died: {type(error).__name__}")
        store(delivery.files, self._folder / job.key)
        return delivery.ending

    @contextmanager
    def _cluster(self, what: str, *signs: type[Exception]) -> Iterator[None]:
        """Turns what says that there is no cluster into an error for the user; by default whatever Ray raises."""
        expected = signs or (ConnectionError, TimeoutError, ValueError, self._ray.exceptions.RayError)
        try:
            yield
        except expected as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise RunError(f"The Ray cluster {what}: {reason} {_GO_ON}") from None


def _knock(address: str | None) -> None:
    """Connects to an address once: Ray itself would try one where nothing listens for minutes.

    Raises:
        ConnectionError: Nothing listens there.
    """
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(f"nothing answers at {address}: {error}.") from None


def deliver(job: Job, folder: str, token: str) -> Delivery:
    """Runs a job on a machine of the cluster.

    Args:
        folder: The driver's runs folder.
        token: What the driver wrote there: a machine that reads it shares the folder.
    """
    shared = Path(folder) / KEPT / _TOKEN
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a cluster begun in the background; Ray interrupts so
        signal.signal(signal.SIGINT, signal.default_int_handler)
    ending = run_job(job)
    if shared.exists() and shared.read_text(encoding="utf-8") == token:
        return Delivery(ending, {})
    return Delivery(ending, pack(Path(folder) / job.key))


def pack(folder: Path) -> dict[str, bytes]:
    """The files of a run with a record, by path inside its folder; none where there is no record."""
    if not RunFolder(folder).result.exists():
        return {}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(folder)): read_no_follow(path, _LARGEST_FILE) for path in files}


def store(files: dict[str, bytes], folder: Path) -> None:
    """Writes a run's files, the record last; leaves a folder alone that has a record."""
    if not files or RunFolder(folder).result.exists():
        return
    for name in sorted(files, key=lambda name: name == RunFolder(folder).result.name):
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise RunError(f"A worker of the cluster sent a file outside its run: '{name}'.")
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, files[name])

"""A command of the suite as a process of its own, and what an executor of many such commands offers.

Nothing here knows what a command does: that every run finishes once is the property of runs (a lock, a record that is
written last, a checkpoint), and not of what starts them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dfkdbench.errors import RunError

KEPT = ".sweep"
"""Below a folder of runs: logs of commands, attempts, and what executors keep."""

CHECKPOINTED = (75, 130)
"""Exit statuses of a command that was asked to stop and left a checkpoint."""

KILLED = -int(signal.SIGKILL)
"""Exit status of a command that vanished together with the process that watched it."""

_MESSAGE = 600
_KILL_AFTER = 120.0


@dataclass(frozen=True)
class Resources:
    """What one command needs.

    Attributes:
        threads: CPU threads.
        gpus: GPUs; a fraction lets several commands share one.
        memory_gb: Main memory, of all its processes together.
    """

    threads: int = 1
    gpus: float = 0.0
    memory_gb: float = 2.0


@dataclass(frozen=True)
class Job:
    """A command to run.

    Attributes:
        key: Its name, unique among those an executor works on at a time.
        arguments: What stands after `dfkdbench`.
        log: File that its output is appended to.
    """

    key: str
    arguments: tuple[str, ...]
    resources: Resources
    log: Path


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Attributes:
        exit_status: As of `subprocess`: negative for a signal.
        seconds: Wall-clock time by a monotonic clock.
        message: The end of what it printed.
    """

    key: str
    exit_status: int
    seconds: float
    message: str = ""

    @property
    def checkpointed(self) -> bool:
        """Whether it stopped because it was asked to, and can go on."""
        return self.exit_status in CHECKPOINTED


class Executor(Protocol):
    """Runs jobs, several at a time. Used by one thread, the main one."""

    def room(self) -> int:
        """How many more jobs it takes now."""
        ...

    def submit(self, job: Job) -> None:
        """Takes a job.

        Raises:
            RunError: Where jobs run is gone.
        """
        ...

    def wait(self, seconds: float) -> list[Ending]:
        """The jobs that ended since the last call; waits for the first of them, but no longer than that.

        Raises:
            RunError: Where jobs run is gone.
        """
        ...

    def stop(self) -> list[Ending]:
        """Asks every job to leave a checkpoint, and waits until all have ended."""
        ...

    def close(self) -> None:
        """Lets go of whatever it holds; jobs that still run end."""
        ...


class Process:
    """A job's command as a child of this process; it dies with the thread that started it.

    Args:
        environment: Variables on top of this process's own.
    """

    def __init__(self, job: Job, environment: Mapping[str, str] | None = None) -> None:
        self.job = job
        self._started = time.monotonic()
        self._asked: float | None = None
        try:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            self._offset = job.log.stat().st_size if job.log.exists() else 0
            with job.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "dfkdbench.executors.child", str(os.getpid()), *job.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "OMP_NUM_THREADS": str(job.resources.threads), **(environment or {})},
                    start_new_session=True,  # Ctrl-C is for the driver, which asks for checkpoints
                )
        except OSError as error:
            raise RunError(f"Can't start {job.key}: {error}. Nothing finished is lost.") from None

    def ending(self) -> Ending | None:
        """How it ended, or None while it runs. One that does not stop when asked is killed in the end."""
        status = self._process.poll()
        if status is None:
            if self._asked is not None and time.monotonic() - self._asked > _KILL_AFTER:
                self._process.kill()
            return None
        return Ending(self.job.key, status, time.monotonic() - self._started, self._message())

    def ask_to_stop(self) -> None:
        """Asks for a checkpoint and the end."""
        if self._asked is None and self._process.poll() is None:
            self._asked = time.monotonic()
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 0.1) -> Ending:
        """Waits for its end."""
        while (ending := self.ending()) is None:
            time.sleep(seconds)
        return ending

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.wait()

    def _message(self) -> str:
        try:
            with self.job.log.open("rb") as log:
                log.seek(max(self._offset, log.seek(0, os.SEEK_END) - 4 * _MESSAGE))
                lines = log.read().decode(errors="replace").split("\n")
        except OSError as error:
            return f"its output can't be read: {error}"
        return last_words(lines)


def last_words(lines: Sequence[str]) -> str:
    """The last line with a word in it, cut."""
    spoken = [line.strip() for line in lines if line.strip()]
    return spoken[-1][:_MESSAGE] if spoken else ""


def run_job(job: Job) -> Ending:
    """Runs a job's command to its end. An interrupt asks it for a checkpoint and waits for that.

    For executors whose jobs run in somebody else's process, such as a worker of a cluster.
    """
    process = Process(job)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.ask_to_stop()

"""Starts a run's training process, passes signals on to it, and never leaves it behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Protocol

from dfkdbench.files import write_json
from dfkdbench.launch import Launch
from dfkdbench.plan import Plan
from dfkdbench.runfolder import RunFolder
from dfkdbench.sandbox import END_ALL, scratch_environment
from dfkdbench.session import EXIT_CHECKPOINTED

IN_PROCESS = "in-process"
"""Isolation for debugging: the session runs inside the judge. Boards refuse such records."""

_PATIENCE_SECONDS = 10
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "VIRTUAL_ENV")
_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""For the GNU C library: a training step frees what the next one wants again. Given back to the kernel in between,
every page is a fault, and on a CPU a step of the convolutional generator at 32 x 32 takes twice as long. Pages are
huge where the kernel gives them to who asks, which from glibc 2.35 on is this."""


class Process(Protocol):
    """What a judge has of a training process: as `subprocess.Popen`, which may be shared with other judges."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """Where it says what is in force."""
        ...

    @property
    def returncode(self) -> int | None:
        """How it ended, once that was asked for."""
        ...

    def poll(self) -> int | None:
        """How it ended, or None."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, once it has."""
        ...

    def send_signal(self, sig: int) -> None:
        """Sends a signal."""
        ...

    def kill(self) -> None:
        """Ends it at once."""
        ...


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for the worker's temporary files: its path is short, since names of sockets are limited."""
    folder = Path(tempfile.mkdtemp(prefix="dfkdbench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class InterruptedRun(Exception):  # noqa: N818 - a request, not an error
    """The run was asked to stop; it left a checkpoint."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.exit_code = 130 if signal_number == signal.SIGINT else EXIT_CHECKPOINTED


@contextmanager
def training_process(
    plan: Plan, folder: RunFolder, launch: Launch, temporary: Path, ends: tuple[int, ...] = ()
) -> Iterator[Process]:
    """The sealed worker, or the control process on the judge's side; killed if it is still there at the end.

    Args:
        ends: Descriptors of pipes that it gets: to the teachers, where these have a process of their own.
    """
    write_json(folder.launch, launch.model_dump(mode="json"))
    module = "dfkdbench.worker" if plan.side == "worker" else "dfkdbench.control"
    process = start(module, [str(folder.root), *map(str, ends)], folder, launch, temporary, ends)
    try:
        yield process
    finally:
        end(process)
        if process.stdout is not None:
            process.stdout.close()


def start(
    module: str,
    arguments: Sequence[str],
    folder: RunFolder,
    launch: Launch,
    temporary: Path,
    ends: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Starts a module as the training process of a run folder."""
    with folder.worker_log.open("ab") as log, on_cores(launch.cores):
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=training_environment(folder.scratch, temporary, launch.threads),
            close_fds=True,
            pass_fds=ends,
            cwd=folder.scratch,
            start_new_session=True,
        )


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Keeps this thread to some cores for the block, and with it what it starts from its first moment on."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def end(process: Process) -> None:
    """Ends a training process where it is still there, and all that it started."""
    if process.poll() is None:
        process.send_signal(END_ALL)
    try:
        process.wait(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def training_environment(scratch: Path, temporary: Path, threads: int) -> dict[str, str]:
    """The process's environment: the same imports, caches in a folder of its own, no word about data."""
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        **scratch_environment(scratch, temporary),
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry and Path(entry).exists()),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": str(threads),
        "GOMP_SPINCOUNT": "20000",  # waiting threads soon sleep: for ever spinning, a busy machine is 20 times slower
        **_MEMORY,
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def first_line(process: Process) -> str:
    """What the process says is in force, before any plugin could speak; empty when it died first."""
    if process.stdout is None:
        return ""
    return process.stdout.readline().decode(errors="replace").strip()


@contextmanager
def signals_to(process: Process) -> Iterator[list[int]]:
    """Passes SIGINT and SIGTERM on as a request to checkpoint; a second one ends the process.

    Only the main thread gets signals. In another one this holds inside of the main thread's `signals_to_all`.

    Yields the list that received signals are put into.
    """
    received: list[int] = []

    def forward(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            process.send_signal(signal.SIGTERM)
        else:
            process.send_signal(END_ALL)

    if threading.current_thread() is threading.main_thread():
        with _handlers(lambda number, _frame: forward(number)):
            yield received
        return
    with _passing_on:
        _forwards.append(forward)
        for number in _requests[:1]:  # it came while this process was being started
            forward(number)
    try:
        yield received
    finally:
        _forwards.remove(forward)


@contextmanager
def signals_to_all() -> Iterator[list[int]]:
    """As `signals_to`, for every process that threads watch within the block, now or later. For the main thread.

    Yields the list that received signals are put into.
    """

    def forward_to_all(number: int, _frame: FrameType | None) -> None:
        with _passing_on:
            _requests.append(number)
            for forward in [*_forwards]:
                forward(number)

    _requests.clear()
    with _handlers(forward_to_all):
        yield _requests


_passing_on = threading.RLock()  # a signal may come while another is being handled

_forwards: list[Callable[[int], None]] = []
"""One for every process that a thread watches."""

_requests: list[int] = []
"""Signals since `signals_to_all` began."""


@contextmanager
def _handlers(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Signal handlers for the block."""
    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, former in previous.items():
            signal.signal(number, former)

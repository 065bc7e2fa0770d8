"""The judge's side of the teachers' own process: starts it, gives the worker its ends of the pipes, ends it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from dfkdbench.files import write_json
from dfkdbench.launch import TeacherLaunch
from dfkdbench.runfolder import RunFolder
from dfkdbench.workerprocess import training_environment

_PIPE_BYTES = 1 << 20
"""What any user may ask for."""
_DYING_SECONDS = 0.5


class TeacherHost(NamedTuple):
    """The process, and the worker's ends: where it reads answers and where it writes questions."""

    process: subprocess.Popen[bytes]
    ends: tuple[int, int]

    def was_killed(self) -> bool:
        """Whether a signal has ended the process, or is about to have."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=_DYING_SECONDS)
        return (self.process.returncode or 0) < 0


@contextmanager
def teacher_process(folder: RunFolder, launch: TeacherLaunch | None, scratch: Path) -> Iterator[TeacherHost | None]:
    """The sealed process of a run's teachers, or None where the worker has them; gone at the end of the block.

    Args:
        scratch: A folder for its caches and temporary files, closed to the worker: what a worker wrote must not
            run here.
    """
    if launch is None:
        yield None
        return
    write_json(folder.teacher_launch, launch.model_dump(mode="json"))
    asked, asks = os.pipe()
    told, tells = os.pipe()
    _widen(asks, tells)
    try:
        process = _start(folder, launch, scratch, (asked, tells))
    except OSError:
        for end in (asks, told):
            os.close(end)
        raise
    finally:  # what this process held would keep the worker waiting for a teacher that has ended
        for end in (asked, tells):
            os.close(end)
    try:
        yield TeacherHost(process, (told, asks))
    finally:
        for end in (told, asks):
            os.close(end)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _widen(*pipes: int) -> None:
    """Lets more bytes lie in the pipes at a time, where the system has that: fewer switches between the processes."""
    for pipe in pipes:
        with suppress(AttributeError, OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _start(folder: RunFolder, launch: TeacherLaunch, scratch: Path, ends: tuple[int, int]) -> subprocess.Popen[bytes]:
    with folder.teacher_log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "dfkdbench.teacherprocess", str(folder.root), *map(str, ends)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=training_environment(scratch, scratch / "tmp", launch.threads),
            pass_fds=ends,
            cwd=scratch,
            start_new_session=True,
        )

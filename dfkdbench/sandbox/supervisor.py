"""Sees to it that a worker leaves no process behind, however it or the judge ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from dfkdbench.sandbox.privileges import adopt_orphans, die_with_parent

END_ALL = signal.SIGUSR1
"""Tells a supervisor to end its worker and what that started, at once."""

_HANDLED = {signal.SIGINT, signal.SIGTERM, END_ALL}


def go_on_supervised(held: Iterable[int] = ()) -> None:
    """Returns in a child process; this one stays behind, outside of the child's seal, until the child has ended.

    Whatever the child started is then ended too, a daemon that left its session included. The child's exit code is
    this process's; it is 128 plus its number where a signal ended the child. SIGTERM is passed on. `END_ALL` ends the
    child first, and comes by itself when the parent ends. Where this process is killed, the kernel kills the child.

    Linux only; elsewhere it returns in this process. Call it before any thread starts, and before the seal.

    Args:
        held: Descriptors that the child alone shall hold.

    Raises:
        SandboxError: Where the kernel refuses.
    """
    if not sys.platform.startswith("linux"):
        return
    die_with_parent(by=END_ALL)
    adopt_orphans()
    supervisor = os.getpid()
    open_before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)  # none comes between the fork and its handler
    worker = os.fork()
    if worker == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, open_before)
        die_with_parent(supervisor)
        return

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL if number == END_ALL else number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(END_ALL, pass_on)
    signal.pthread_sigmask(signal.SIG_SETMASK, open_before)
    for descriptor in held:
        os.close(descriptor)
    _, status = os.waitpid(worker, 0)
    end_children()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def end_children() -> None:
    """Kills all children of this process, those too that become its own when their parents have died."""
    with suppress(ChildProcessError):  # there is none left
        while True:
            for child in _children():
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    """Process ids of this process's children, as /proc tells them."""
    own, found = str(os.getpid()), []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            _state, parent, *_ = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if parent == own:
                found.append(int(folder.name))
    return found

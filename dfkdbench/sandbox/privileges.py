"""What a process gives up beside paths: new privileges, capabilities, and outliving its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from dfkdbench.sandbox.errors import SandboxError

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
_KEPT_CAPABILITIES = {
    "chown": 0,
    "dac_override": 1,
    "fowner": 3,
    "fsetid": 4,
    "kill": 5,
    "ipc_lock": 14,
    "sys_nice": 23,
    "sys_resource": 24,
}
"""What a worker that runs as root keeps: files of its own, pinned memory, priorities. The rest reaches round Landlock:
kernel modules, raw disks, packets, BPF, file handles, device nodes."""


def no_new_privileges() -> None:
    """Set-user-id programs give nothing from now on (PR_SET_NO_NEW_PRIVS); Landlock asks for it.

    Raises:
        SandboxError: Where the kernel refuses.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Gives up root's capabilities but a harmless few, for good. Nothing changes for an ordinary user.

    Raises:
        SandboxError: Where the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; first the low words, then the high ones
    _check("capget", libc.capget(header, sets))
    kept = sum(1 << number for number in _KEPT_CAPABILITIES.values())
    for index in range(6):
        sets[index] &= kept if index < 3 else 0
    header[1] = 0
    _check("capset", libc.capset(header, sets))


def die_with_parent(parent: int | None = None, by: signal.Signals = signal.SIGKILL) -> None:
    """Asks the kernel to kill this process when the thread that started it ends. Linux only; elsewhere no effect.

    Args:
        parent: Process id of the parent, to notice one that ended before this call.
        by: The signal that is sent then.

    Raises:
        SandboxError: Where the kernel refuses.
    """
    if not sys.platform.startswith("linux"):
        return
    _prctl(_PR_SET_PDEATHSIG, by)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent ends (PR_SET_CHILD_SUBREAPER). Linux only.

    Raises:
        SandboxError: Where the kernel refuses.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_ulong(word) for word in (value, 0, 0, 0)]
    _check(f"prctl({option})", libc.prctl(ctypes.c_int(option), *words))


def _check(call: str, answer: int) -> None:
    if answer != 0:
        code = ctypes.get_errno()
        raise SandboxError(f"The kernel refused {call}: {os.strerror(code)} (errno {code}).")

"""Fallback where the kernel has no Landlock: a Python audit hook that refuses paths outside the policy.

It stops accidents, not intent: code that calls C directly (`ctypes`, a C++ reader of torch) raises no audit event,
and programs started as child processes are not watched beyond the paths in their command line.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dfkdbench.sandbox.policy import Policy

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_WRITES = {
    "os.chflags": None,
    "os.chmod": 2,
    "os.chown": 3,
    "os.mkdir": 2,
    "os.remove": 1,
    "os.removexattr": None,
    "os.rmdir": 1,
    "os.setxattr": None,
    "os.truncate": None,
    "os.utime": 3,
}
"""Events that change the path in their first argument, with the place of their folder descriptor, if they have one."""

_READS = frozenset({"os.getxattr", "os.listxattr"})
_CONNECTING = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"})
_LOOKING_UP = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_STARTING = frozenset({"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"})
_HERE = ("127.0.0.1", "::1", "localhost")
_NO_FOLDER_DESCRIPTOR = -1


class PathRules:
    """Which paths an expanded policy opens, decided on the path with its links resolved."""

    def __init__(self, policy: Policy) -> None:
        self._writable = tuple(map(os.path.realpath, (*policy.write, *policy.devices)))
        self._readable = (*map(os.path.realpath, policy.read), *self._writable)
        self._listable = (*map(os.path.realpath, policy.listed), *self._readable)

    def may_read(self, path: str) -> bool:
        """Whether the file or folder may be read."""
        return _beneath(os.path.realpath(path), self._readable)

    def may_list(self, path: str) -> bool:
        """Whether the folder's names may be listed."""
        return _beneath(os.path.realpath(path), self._listable)

    def may_write(self, path: str) -> bool:
        """Whether the path may be written, created or deleted."""
        return _beneath(os.path.realpath(path), self._writable)


def install(policy: Policy, several: bool = False) -> None:
    """Adds the hook, for good, to this interpreter and the processes it forks.

    Args:
        policy: Expanded.
        several: Whether sockets of this machine stay open.
    """
    rules = PathRules(policy)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            _on_open(rules, *arguments)
        elif event in ("os.listdir", "os.scandir"):
            _require(rules.may_list, event, arguments[0])
        elif event in _READS:
            _require(rules.may_read, event, arguments[0])
        elif event in _WRITES:
            place = _WRITES[event]
            _require(rules.may_write, event, arguments[0], _NO_FOLDER_DESCRIPTOR if place is None else arguments[place])
        elif event in ("os.rename", "os.link"):
            _require(rules.may_write, event, arguments[0], arguments[2])
            _require(rules.may_write, event, arguments[1], arguments[3])
        elif event == "os.symlink":
            _require(rules.may_write, event, arguments[1], arguments[2])
        elif event in _LOOKING_UP and not (several and arguments[0] in _HERE):
            raise _refusal(event, arguments[0])
        elif event in _CONNECTING and _is_network(arguments[1]) and not (several and arguments[1][0] in _HERE):
            raise _refusal(event, arguments[-1])
        elif event in _STARTING:
            _on_start(rules, event, arguments)

    sys.addaudithook(hook)


def _on_open(rules: PathRules, path: object, mode: object, flags: object) -> None:
    text = _text(path)
    if text is None or _is_own_process(text):
        return
    writing = isinstance(flags, int) and bool(flags & _WRITING)
    if mode is None and not writing and not Path(text).is_absolute() and not os.path.lexists(text):
        return  # os.open beside a folder descriptor, whose folder was checked; the event does not tell which
    is_folder = Path(text).is_dir()
    _require(rules.may_write if writing else rules.may_list if is_folder else rules.may_read, "open", text)


def _is_network(address: object) -> bool:
    """Whether a socket's address is none of this machine's own (AF_UNIX: a path or a name)."""
    return address is not None and not isinstance(address, str | bytes)


def _on_start(rules: PathRules, event: str, arguments: tuple[Any, ...]) -> None:
    """Refuses a program outside the policy, and a command line that names an existing path outside it."""
    if event == "os.system":
        program, command = None, arguments[0]
    else:
        program, command = arguments[:2]
    given = [command] if isinstance(command, str | bytes | os.PathLike) else list(command or ())
    items = [text for item in given if (text := _text(item)) is not None and "\0" not in text]
    words = [word for item in items for word in item.split() if os.sep in word]
    name = _text(program)
    if name is not None and os.sep in name:
        words.append(name)
    outside = [word for word in (*items, *words) if os.path.lexists(word) and not rules.may_list(word)]
    if outside:
        raise _refusal(event, outside[0])


def _require(
    allowed: Callable[[str], bool], event: str, path: object, folder_descriptor: int = _NO_FOLDER_DESCRIPTOR
) -> None:
    """Refuses the path unless it is allowed. Beside a folder descriptor nothing is checked: its folder was."""
    text = "." if path is None else _text(path)
    if text is None or folder_descriptor != _NO_FOLDER_DESCRIPTOR or _is_own_process(text):
        return
    if not allowed(text):
        raise _refusal(event, text)


def _refusal(event: str, what: object) -> PermissionError:
    return PermissionError(errno.EACCES, f"closed by the run's audit hook ({event})", str(what))


def _text(path: object) -> str | None:
    """The path as text, or None for descriptors, which were opened before."""
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else None


def _is_own_process(path: str) -> bool:
    """Whether the path is this process's folder in /proc, once links are resolved."""
    own = f"/proc/{os.getpid()}"
    return path.startswith("/proc/") and _beneath(os.path.realpath(path), (own,))


def _beneath(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)

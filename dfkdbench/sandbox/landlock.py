"""Linux Landlock by ctypes: an allow-list of paths that a process puts on itself and can't take off.

Written from the kernel's documentation (Documentation/userspace-api/landlock.rst). Everything that the running
kernel can restrict is restricted; only what `AllowedPath` entries name stays open.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import functools
import os
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dfkdbench.sandbox.errors import SandboxError

NEWEST_ABI = 7
"""The newest interface whose rights are handled here; what a later kernel adds is not claimed."""

NO_LANDLOCK = "This kernel has no Landlock, or has it switched off; isolation 'audit' needs none."

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2
_BIND_TCP, _CONNECT_TCP = 0b01, 0b10
_NET_TCP = _BIND_TCP | _CONNECT_TCP
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


class Right(enum.IntFlag):
    """What a rule can allow beneath a path (LANDLOCK_ACCESS_FS_*)."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


LIST = Right.READ_DIR
READ = Right.EXECUTE | Right.READ_FILE | Right.READ_DIR
DEVICE = Right.READ_FILE | Right.WRITE_FILE | Right.READ_DIR | Right.TRUNCATE | Right.IOCTL_DEV
WRITE = (
    READ
    | Right.WRITE_FILE
    | Right.TRUNCATE
    | Right.REMOVE_DIR
    | Right.REMOVE_FILE
    | Right.MAKE_DIR
    | Right.MAKE_REG
    | Right.MAKE_SOCK
    | Right.MAKE_FIFO
    | Right.MAKE_SYM
    | Right.REFER
)
"""Never MAKE_CHAR or MAKE_BLOCK: root could make itself a node of the disk in a writable folder."""

_FILE_RIGHTS = Right.EXECUTE | Right.READ_FILE | Right.WRITE_FILE | Right.TRUNCATE | Right.IOCTL_DEV
_FIRST_WITH = ((1, Right.MAKE_SYM), (2, Right.REFER), (3, Right.TRUNCATE), (5, Right.IOCTL_DEV))


class AllowedPath(NamedTuple):
    """A path and what is allowed at and beneath it."""

    path: Path
    rights: Right


def abi_version() -> int:
    """The kernel's Landlock interface, or 0 where it has none or has it switched off."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(_syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION), 0)


def handled_rights(abi: int) -> Right:
    """The file rights that an interface can restrict: those up to the last one it knows."""
    last = max(right for first, right in _FIRST_WITH if first <= abi)
    return Right((int(last) << 1) - 1)


def ruleset_attributes(abi: int) -> bytes:
    """`struct landlock_ruleset_attr`, as long as the interface knows it: files, then TCP (4), then scopes (6)."""
    fields = [int(handled_rights(abi))]
    if abi >= 4:
        fields.append(_NET_TCP)
    if abi >= 6:
        fields.append(_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
    return struct.pack(f"={len(fields)}Q", *fields)


def ephemeral_ports() -> range:
    """The ports that the kernel gives to whoever binds to no port in particular."""
    first, last = map(int, _EPHEMERAL.read_text(encoding="ascii").split())
    return range(first, last + 1)


def restrict_self(allowed: Iterable[AllowedPath], ports: Iterable[int] = ()) -> int:
    """Closes all but the allowed paths for this thread and everything it starts, for good.

    Needs `no_new_privileges` first, and no other thread: they would stay open. Paths that don't exist are left out.

    Args:
        ports: Of TCP that stay open to connect to, on any host: a rule can't name one. Where there are any, a process
            may also listen on a port that the kernel chooses.

    Returns:
        The interface in force, at most `NEWEST_ABI`.

    Raises:
        SandboxError: Where the kernel has no Landlock, or refuses.
    """
    abi = min(abi_version(), NEWEST_ABI)
    if abi == 0:
        raise SandboxError(NO_LANDLOCK)
    attributes = ruleset_attributes(abi)
    ruleset = _checked("landlock_create_ruleset", _syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    try:
        handled = handled_rights(abi)
        for entry in allowed:
            _allow(ruleset, entry, handled)
        if abi >= 4:
            _allow_ports(ruleset, ports)
        _checked("landlock_restrict_self", _syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return abi


def _allow(ruleset: int, entry: AllowedPath, handled: Right) -> None:
    with _opened(entry.path) as descriptor:
        if descriptor is None:
            return
        is_folder = (os.fstat(descriptor).st_mode & 0o170000) == 0o040000
        rights = entry.rights & handled & (handled if is_folder else _FILE_RIGHTS)
        if rights:
            rule = struct.pack("=Qi", int(rights), descriptor)
            _checked(f"landlock_add_rule for {entry.path}", _syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))


def _allow_ports(ruleset: int, ports: Iterable[int]) -> None:
    rights = dict.fromkeys(ports, _CONNECT_TCP)
    if rights:
        rights[0] = _BIND_TCP
    for port, right in rights.items():
        rule = struct.pack("=QQ", right, port)
        _checked(f"landlock_add_rule for port {port}", _syscall(_ADD_RULE, ruleset, _RULE_NET_PORT, rule, 0))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """A descriptor that only names the path, or None where it does not exist or may not be reached anyway."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _syscall(number: int, *arguments: bytes | int | None) -> int:
    """The system call's answer; -1 on failure, with errno in `ctypes.get_errno()`."""
    libc = _libc()
    words = [ctypes.c_char_p(word) if isinstance(word, bytes) else ctypes.c_void_p(word) for word in arguments]
    return int(libc.syscall(ctypes.c_long(number), *words))


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _checked(call: str, answer: int) -> int:
    if answer < 0:
        code = ctypes.get_errno()
        raise SandboxError(f"The kernel refused {call}: {os.strerror(code)} (errno {code}).")
    return answer

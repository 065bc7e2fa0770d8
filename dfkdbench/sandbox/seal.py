"""Closes the process, by the best means there is, and says which was in force."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from dfkdbench.sandbox import audit, landlock
from dfkdbench.sandbox.errors import SandboxError
from dfkdbench.sandbox.landlock import AllowedPath
from dfkdbench.sandbox.policy import Policy, expand
from dfkdbench.sandbox.privileges import drop_capabilities, no_new_privileges

Isolation = Literal["auto", "landlock", "audit", "none"]
HIGH_PORTS = "; high ports open"


def seal(policy: Policy, want: Isolation = "auto", several: bool = False) -> str:
    """Seals this process and all it will start, for good.

    Call it before any thread starts and after what the process needs open is open: streams and descriptors that are
    open already stay so. Landlock also closes TCP (interface 4), signals and abstract sockets to processes outside
    (6); a root process loses the capabilities that reach round it.

    Args:
        policy: What stays open. One that was expanded by the judge is taken as it is.
        want: "auto" takes Landlock where the kernel has it, else the audit hook.
        several: Whether the processes started from this one talk to each other by TCP: the kernel's ephemeral ports
            stay open then, and what is returned ends with "; high ports open". The audit hook opens this machine alone.

    Returns:
        What is in force, for the record: "landlock abi N", "audit hook" or "none".

    Raises:
        SandboxError: Where it can't be done as asked: unknown kind, no Landlock, other threads are running.
    """
    if want not in get_args(Isolation):
        raise SandboxError(f"Unknown isolation '{want}'. There are: {', '.join(get_args(Isolation))}.")
    if want == "none":
        return "none"
    if want == "landlock" or (want == "auto" and landlock.abi_version() > 0):
        return f"landlock abi {_seal_by_landlock(policy, several)}{HIGH_PORTS * several}"
    audit.install(_expanded(policy), several)
    return f"audit hook{HIGH_PORTS * several}"


def _seal_by_landlock(policy: Policy, several: bool) -> int:
    threads = _thread_count()
    if threads > 1:
        raise SandboxError(
            f"{threads} threads are running; Landlock would close only this one. Seal before importing torch or numpy."
        )
    allowed = list(allowed_paths(_expanded(policy)))
    if landlock.abi_version() == 0:
        raise SandboxError(landlock.NO_LANDLOCK)
    drop_capabilities()
    no_new_privileges()
    return landlock.restrict_self(allowed, landlock.ephemeral_ports() if several else ())


def allowed_paths(policy: Policy) -> Iterator[AllowedPath]:
    """An expanded policy as rules, and this process's own folder in /proc, which no judge can name beforehand."""
    kinds = (
        (policy.listed, landlock.LIST),
        (policy.read, landlock.READ),
        (policy.write, landlock.WRITE),
        (policy.devices, landlock.DEVICE),
    )
    for paths, rights in kinds:
        yield from (AllowedPath(path, rights) for path in paths)
    yield AllowedPath(Path("/proc/self"), landlock.READ)


def _expanded(policy: Policy) -> Policy:
    return expand(policy) if policy.protected else policy


def _thread_count() -> int:
    """Threads of this process, those outside Python too."""
    if not sys.platform.startswith("linux"):
        return 1
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names only

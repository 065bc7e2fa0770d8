"""What a sealed process may touch: an allow-list, in which every hole is made by not listing it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from dfkdbench.sandbox.errors import SandboxError


@dataclass(frozen=True)
class Policy:
    """Paths that stay open; everything else is closed.

    Attributes:
        read: Read and execute, with all that lies beneath.
        write: Also write, create and delete, beneath.
        protected: Never readable, even inside a `read` path. `expand` turns these into gaps in the list.
        listed: Folders whose entries can be listed beneath, without reading a file. Made by `expand`.
        devices: Device files to read, write and control.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    protected: tuple[Path, ...] = ()
    listed: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()

    def to_json(self) -> str:
        """The policy as text, for the hand-over to the worker.

        Raises:
            SandboxError: While it still names protected paths, which the worker must not learn.
        """
        if self.protected:
            raise SandboxError("A policy that names protected paths stays with the judge. Hand over expand(policy).")
        return json.dumps({name: [str(path) for path in paths] for name, paths in asdict(self).items()})

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Takes back what `to_json` gave.

        Raises:
            SandboxError: On anything else.
        """
        names = {field.name for field in fields(cls)}
        try:
            return cls(**{name: tuple(Path(path) for path in paths) for name, paths in json.loads(text).items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise SandboxError(f"Not a policy: expected an object with {', '.join(sorted(names))}; {error}.") from error


def union(policies: Sequence[Policy]) -> Policy:
    """What any of the policies leaves open, and nothing else. For expanded ones: one's gaps are not the others'.

    Raises:
        SandboxError: While one still names protected paths.
    """
    if any(policy.protected for policy in policies):
        raise SandboxError("Policies that name protected paths have no union. Take those that expand(policy) gives.")
    names = [field.name for field in fields(Policy)]
    return Policy(**{name: resolved(path for each in policies for path in getattr(each, name)) for name in names})


def expand(policy: Policy) -> Policy:
    """The same policy without protected paths: every read path that contains one is split around it.

    A list that can only allow, and allows whole trees, has no "except". So a folder above a protected path is only
    `listed` (Python's import finders must list it), and its other children are granted one by one, down to the
    protected path. What follows from that: names beneath a split folder can be listed, the protected ones too,
    but not read; files that appear later in a split folder stay closed; links in a split folder open nothing
    beyond it, as in any granted folder.

    Paths are resolved first, so a root or a protected path may be given through links. Paths that don't exist, or
    vanish meanwhile, are left out.

    Raises:
        SandboxError: Where a granted path equals or lies in a protected one, or a writable path contains one.
    """
    protected = resolved(policy.protected)
    read: list[Path] = []
    listed: list[Path] = []
    for root in resolved(policy.read):
        _refuse_inside(root, protected)
        for path, whole in _split(root, protected):
            (read if whole else listed).append(path)
    write = resolved(policy.write)
    for root in write:
        _refuse_inside(root, protected)
        _refuse_above(root, protected)
    for root in policy.listed:
        _refuse_inside(root.resolve(), protected)
    return Policy(
        read=tuple(dict.fromkeys(read)),
        write=write,
        listed=tuple(dict.fromkeys((*resolved(policy.listed), *listed))),
        devices=resolved(policy.devices),
    )


def resolved(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The paths without links, each once, in order."""
    return tuple(dict.fromkeys(path.resolve() for path in paths))


def _split(root: Path, protected: tuple[Path, ...]) -> Iterator[tuple[Path, bool]]:
    """The paths to grant for `root`, each with whether it is granted whole."""
    inside = tuple(path for path in protected if path.is_relative_to(root))
    if not inside:
        yield root, True
        return
    if root in inside:
        return
    yield root, False
    try:
        with os.scandir(root) as entries:
            children = sorted(Path(entry.path) for entry in entries if not entry.is_symlink())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for child in children:
        yield from _split(child, inside)


def _refuse_inside(root: Path, protected: tuple[Path, ...]) -> None:
    for closed in protected:
        if root.is_relative_to(closed):
            raise SandboxError(
                f"The worker needs {root}, which is or lies in the protected path {closed}. "
                "Keep data in a folder of its own, apart from Python, plugins and runs."
            )


def _refuse_above(root: Path, protected: tuple[Path, ...]) -> None:
    for closed in protected:
        if closed.is_relative_to(root):
            raise SandboxError(
                f"The worker writes to {root}, which contains the protected path {closed}. "
                "Keep data in a folder of its own, outside the run's folders."
            )

"""Files that are whole or not there at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dfkdbench.errors import BusyError, IntegrityError, RunError


def sha256_of(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Writes beside the file, syncs, and renames over it: a reader sees the old file or the new one.

    Raises:
        RunError: The disk is full or the folder can't be written.
    """
    payload = data.encode() if isinstance(data, str) else data
    descriptor, temporary = -1, ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        reason = "no space is left on the disk" if error.errno == errno.ENOSPC else str(error)
        raise RunError(f"Can't write {path}: {reason}. Nothing finished is lost; run the same command again.") from None


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically."""
    write_atomically(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        IntegrityError: The file is not whole JSON.
    """
    try:
        return json.loads(read_no_follow(path))
    except ValueError as error:
        raise IntegrityError(f"{path} is no whole JSON file: {error}") from None


def read_no_follow(path: Path, limit: int | None = None, start: int = 0) -> bytes:
    """The bytes of a regular file that is no link, of at most `limit` bytes, from `start` on.

    Raises:
        IntegrityError: It is missing, too large, or something else than a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise IntegrityError(f"Can't read {path}: {error.strerror}.") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise IntegrityError(f"{path} is no regular file.")
        if limit is not None and status.st_size > limit:
            raise IntegrityError(f"{path} has {status.st_size} bytes, at most {limit} were expected.")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            file.seek(start)
            data = file.read() if limit is None else file.read(limit - start + 1)
    finally:
        os.close(descriptor)
    if limit is not None and start + len(data) > limit:  # it grew meanwhile, or does not tell its size
        raise IntegrityError(f"{path} has more than the {limit} bytes that were expected.")
    return data


def touch_no_follow(path: Path) -> None:
    """Makes an empty file where there is none.

    Raises:
        IntegrityError: There is a link or something else than a regular file.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644))
    except OSError as error:
        raise IntegrityError(f"Can't open {path}: {error.strerror}. Start over with --rerun.") from None


def empty_folder(folder: Path) -> None:
    """Removes what lies in a folder, as `remove` does."""
    for entry in folder.iterdir():
        remove(entry)


def remove(path: Path) -> None:
    """Removes whatever somebody put there, and nothing that links lead to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive_lock(path: Path, busy: str) -> Iterator[None]:
    """Holds a lock file for the block; the lock goes away with the process, however it ends.

    Raises:
        BusyError: Another process holds it; the message is `busy`.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(busy) from None
        yield


@contextlib.contextmanager
def no_full_disk(full: str) -> Iterator[None]:
    """Raises `RunError` with the message `full` where the block meets a disk, or a user's quota, that is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(full) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

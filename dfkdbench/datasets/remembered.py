"""Hashes of large folder data sets, kept from one command to the next: reading a million files again takes minutes.

A hash is kept under a manifest of its files: path, size, time of change and of status change to the nanosecond, and
inode of each. A file that is written anew, replaced or put back with its old date has another status change, which no
ordinary call can set, so it is read again. Two doubts are never kept: files that changed within the last seconds, where
the clock of the file system may be too coarse to show one more change, and files that changed while they were read.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from dfkdbench.datasets.file_index import Sample
from dfkdbench.errors import DataError, RunError
from dfkdbench.files import write_atomically
from dfkdbench.places import home_folder

SETTLED_SECONDS = 2.0


class Remembered(BaseModel):
    """A fingerprint as it is kept.

    Attributes:
        files: How many files it is of.
        read: When they were read, in UTC.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    fingerprint: str
    files: int
    read: str


class Manifest(NamedTuple):
    """Hash of what the file system says about the files of a set, and the latest change of any, in seconds."""

    sha256: str
    changed: float


def take_manifest(root: Path, described: str, samples: Iterable[Sample]) -> Manifest:
    """What the file system says about the files of samples, in their order.

    Args:
        described: What else the fingerprint depends on.

    Raises:
        DataError: A file that is not there.
    """
    digest, changed = hashlib.sha256(os.fsencode(f"{described}\0{root.resolve()}")), 0
    for label, file in samples:
        try:
            status = (root / file).stat()
        except OSError as error:
            raise DataError(f"Could not read the image '{root / file}': {error}. Replace it and run again.") from error
        digest.update(b"\0%d\0%s\0" % (label, os.fsencode(file)))
        digest.update(f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}".encode())
        changed = max(changed, status.st_mtime_ns, status.st_ctime_ns)
    return Manifest(digest.hexdigest(), changed / 1e9)


def recall(manifest: Manifest) -> Remembered | None:
    """What is kept under a manifest, or None; a damaged note is none."""
    try:
        return Remembered.model_validate_json(_note(manifest).read_bytes())
    except (OSError, ValidationError):
        return None


def read_and_keep(before: Manifest, take: Callable[[], Manifest], read: Callable[[], str], files: int) -> str:
    """The fingerprint that `read` finds, kept where it is sure to be that of the manifest.

    Args:
        before: The manifest now.
        take: Takes it again.
    """
    started = time.time()
    fingerprint = read()
    if before.changed + SETTLED_SECONDS < started and take() == before:
        kept = Remembered(fingerprint=fingerprint, files=files, read=datetime.now(UTC).isoformat(timespec="seconds"))
        with suppress(OSError, RunError):  # a note that can't be written is read for again
            _note(before).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(_note(before), kept.model_dump_json() + "\n")
    return fingerprint


def _note(manifest: Manifest) -> Path:
    return home_folder() / "fingerprints" / f"{manifest.sha256}.json"

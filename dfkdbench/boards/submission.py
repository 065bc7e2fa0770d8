"""Submitting a run: checked as the board's own check does, copied whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dfkdbench.boards.admission import Admission
from dfkdbench.boards.entries import FOLDER, LARGEST, PLAN, RESULT, Entry, read_entry
from dfkdbench.boards.fields import read_bytes, read_tree
from dfkdbench.boards.methods import FOLDER as METHODS
from dfkdbench.boards.methods import keep_plain_method, key_of, plain_method
from dfkdbench.boards.migrations import migrated
from dfkdbench.boards.thumbnails import THUMBNAIL, make_thumbnail
from dfkdbench.errors import DataError, IntegrityError, RunError
from dfkdbench.files import sha256_of, write_atomically
from dfkdbench.registry import Registry
from dfkdbench.runfolder import RunFolder, locate

_LARGEST_STUDENT = 1 << 31


@dataclass(frozen=True)
class Submitted:
    """What became of a run.

    Attributes:
        new: Whether it was not there before.
        paths: What was written, inside the board's folder.
        remarks: What its submitter should know.
    """

    run_id: str
    new: bool
    paths: tuple[Path, ...]
    remarks: tuple[str, ...]


def submit_run(run: Path, board: Path, standing: Admission, registry: Registry) -> Submitted:
    """Copies a run's plan, record and a thumbnail into a board, and keeps there what its plain method is.

    Args:
        standing: What the board has taken; the run is taken into it.

    Raises:
        DataError: There is no such run, or it has no record yet.
        IntegrityError: The run does not hold, or the board does not take it.
    """
    folder = find_run(run)
    with new_entry(board, folder.root.name) as new:
        for name, source in ((PLAN, folder.plan), (RESULT, folder.result)):
            write_atomically(new / name, read_bytes(source, limit=LARGEST[name]))
        entry = read_entry(new)
        _check_student(folder, entry)
        _add_thumbnail(folder, entry, new)
        if problem := standing.offer(entry):
            raise IntegrityError(problem)
        is_new = put_entry(new, board)
    paths, remarks = [Path(FOLDER) / entry.run_id], []
    method = plain_method(key_of(entry.plan), registry)
    if method is None:
        remarks.append(f"This version of {entry.plan.plugin} is not installed, so its row is spelled out whole.")
    elif keep_plain_method(board, method):
        paths.append(Path(METHODS) / method.file)
    else:
        remarks.append(
            f"The board has other plain settings of {entry.plan.plugin} than are installed; it keeps its own."
        )
    return Submitted(entry.run_id, is_new, tuple(paths), tuple(remarks))


def find_run(given: Path) -> RunFolder:
    """The folder of a finished run, from its path or that of its record.

    Raises:
        DataError: There is none.
    """
    path = locate(given)
    if not (path / RESULT).exists():
        inside = len(list(path.glob(f"*/{RESULT}")))
        hint = f"It holds {inside} runs: name them, such as {given}/*" if inside else "Its own command resumes it."
        raise DataError(f"{given} has no record. {hint}")
    return RunFolder(path.resolve())


@contextmanager
def new_entry(board: Path, name: str) -> Iterator[Path]:
    """A folder of that name to fill, hidden in the board's `entries`; what was not moved away is removed."""
    entries = board / FOLDER
    try:
        entries.mkdir(exist_ok=True)
        hidden = Path(tempfile.mkdtemp(dir=entries, prefix=f".{os.getpid()}-"))
    except OSError as error:
        raise RunError(f"Can't write into {entries}: {error.strerror}.") from None
    try:
        (hidden / name).mkdir()
        yield hidden / name
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def put_entry(new: Path, board: Path) -> bool:
    """Moves a filled folder of the same file system among the entries, at once. Whether it was not there before.

    Two that put the same run at once lose nothing: the second finds the first's.

    Raises:
        IntegrityError: Another record of this run is there.
    """
    target = board / FOLDER / new.name
    new.chmod(0o755)
    try:
        new.rename(target)
        return True
    except OSError as error:
        if not target.exists():
            raise RunError(f"Can't write {target}: {error.strerror}.") from None
    mine, theirs = (migrated(read_tree(folder / RESULT, LARGEST[RESULT])) for folder in (new, target))
    if mine != theirs:  # the plans are the same: they hash to one id
        raise IntegrityError(f"The board has another {RESULT} of {new.name}. One record a run counts: the first.")
    return False


def _check_student(folder: RunFolder, entry: Entry) -> None:
    """Refuses a run whose student is not the record's."""
    if not entry.finished:
        return
    found = sha256_of(read_bytes(folder.student, limit=_LARGEST_STUDENT))
    if found != entry.result.student_sha256:
        raise IntegrityError(f"{folder.student.name} has sha256 {found[:12]}..., the record's student has another.")


def _add_thumbnail(folder: RunFolder, entry: Entry, new: Path) -> None:
    """A thumbnail of synthetic images; those of controls on real data are not ours to hand on."""
    if entry.plan.side == "worker" and folder.samples.exists():
        picture = make_thumbnail(folder.samples, entry.plan.input.image_size)
        if picture is not None:
            write_atomically(new / THUMBNAIL, picture)

"""A host's word for an entry: how far `dfkdbench verify` checked its run."""

from __future__ import annotations

from pathlib import Path

from dfkdbench.boards.entries import FOLDER, LARGEST, RESULT, UNVERIFIED, VERIFICATION, read_entry
from dfkdbench.boards.fields import read_bytes, read_tree
from dfkdbench.boards.migrations import migrated
from dfkdbench.errors import DataError, IntegrityError
from dfkdbench.files import sha256_of, write_json
from dfkdbench.runfolder import RunFolder


def vouch(run: RunFolder, level: int, board: Path) -> str:
    """Notes beside the entry of a run how far it was verified; what was verified further before stays.

    Returns:
        The level that stands there now, "L0" to "L3".

    Raises:
        DataError: The board has no entry of this run.
        IntegrityError: Its entry has another record, or does not hold.
    """
    entry = board / FOLDER / run.root.name
    if not entry.is_dir():
        raise DataError(
            f"{board} has no entry {run.root.name}. First: dfkdbench submit {run.root} --leaderboard {board}"
        )
    theirs, mine = (migrated(read_tree(path, LARGEST[RESULT])) for path in (entry / RESULT, run.result))
    if mine != theirs:
        raise IntegrityError(f"The entry {run.root.name} has another {RESULT} than the run that was verified.")
    before = read_entry(entry).verified
    level_now = max(f"L{level}", before if before != UNVERIFIED else "L0")
    if level_now != before:
        digest = sha256_of(read_bytes(entry / RESULT, limit=LARGEST[RESULT]))
        write_json(entry / VERIFICATION, {"schema": 1, "level": level_now, "result_sha256": digest})
    return level_now

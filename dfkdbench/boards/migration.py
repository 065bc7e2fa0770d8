"""`leaderboard migrate`: a board's files brought to the schemas of today."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dfkdbench.boards.definition import read_definition
from dfkdbench.boards.entries import (
    LARGEST,
    RESULT,
    UNVERIFIED,
    VERIFICATION,
    Problem,
    entry_folders,
    read_entry,
    scan_entries,
)
from dfkdbench.boards.fields import read_tree
from dfkdbench.boards.methods import FOLDER, file_name, keep_plain_method, key_of, plain_method, read_plain_methods
from dfkdbench.boards.migrations import migrated, schema_of
from dfkdbench.errors import IntegrityError
from dfkdbench.files import sha256_of, write_json
from dfkdbench.records import SCHEMA
from dfkdbench.registry import Registry


@dataclass(frozen=True)
class Migrated:
    """What a migration did.

    Attributes:
        rewritten: Entries whose records were older.
        methods: Files of plain settings that were missing and could be written.
        unknown: Names of those that could not: the method, or this version of it, is not installed.
        problems: Entries that don't hold.
    """

    rewritten: tuple[str, ...]
    methods: tuple[str, ...]
    unknown: tuple[str, ...]
    problems: tuple[Problem, ...]


def migrate(board: Path, registry: Registry) -> Migrated:
    """Rewrites older records, and writes plain settings that are missing and whose methods are installed.

    Raises:
        ConfigError: There is no board.
    """
    read_definition(board)
    rewritten = []
    for folder in entry_folders(board):
        try:
            if _rewrite(folder):
                rewritten.append(folder.name)
        except IntegrityError:
            continue  # told below, with the other problems
    entries, problems = scan_entries(board)
    known, _ = read_plain_methods(board)
    written, unknown = [], []
    for key in sorted({key_of(entry.plan) for entry in entries} - known.keys()):
        method = plain_method(key, registry)
        if method is not None and keep_plain_method(board, method):
            written.append(f"{FOLDER}/{method.file}")
        else:
            unknown.append(file_name(key))
    return Migrated(tuple(rewritten), tuple(written), tuple(unknown), tuple(problems))


def _rewrite(folder: Path) -> bool:
    """Whether an entry's record was older and is rewritten now; its verification stays with it.

    Raises:
        IntegrityError: The entry does not hold.
    """
    tree = read_tree(folder / RESULT, LARGEST[RESULT])
    if schema_of(tree) == SCHEMA:
        return False
    level = read_entry(folder).verified
    write_json(folder / RESULT, migrated(tree))
    if level != UNVERIFIED:
        digest = sha256_of((folder / RESULT).read_bytes())
        write_json(folder / VERIFICATION, {"schema": 1, "level": level, "result_sha256": digest})
    return True

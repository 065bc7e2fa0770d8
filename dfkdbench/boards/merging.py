"""Taking over the entries of another board of the same protocol and cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dfkdbench.boards.admission import admit, finished_first
from dfkdbench.boards.definition import Cell, Definition, read_definition
from dfkdbench.boards.entries import FOLDER, LARGEST, VERIFICATION, Entry, Problem, scan_entries
from dfkdbench.boards.fields import read_bytes
from dfkdbench.boards.methods import copy_plain_methods
from dfkdbench.boards.submission import new_entry, put_entry
from dfkdbench.errors import ComparisonError, ConfigError, IntegrityError
from dfkdbench.files import write_atomically


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        added: Runs that were not there before.
        present: How many of the other board's were.
        left_out: What of the other board was not taken, and why.
    """

    added: tuple[str, ...]
    present: int
    left_out: tuple[Problem, ...]


def merge(board: Path, other: Path) -> Merged:
    """Copies the entries of another board that hold and that this one takes; what is here stays as it is.

    Their verification stays behind: a host vouches for what it verified itself.

    Raises:
        ConfigError: One of the two is no board, or they are one.
        ComparisonError: They are of other protocols, teachers, test sets or budgets; nothing is copied then.
    """
    ours, theirs = read_definition(board), read_definition(other)
    if board.resolve() == other.resolve():
        raise ConfigError(f"'{board}' and '{other}' are one board.")
    if reason := next(_differences(ours, theirs), ""):
        raise ComparisonError(f"'{other}' can't be merged into '{board}': {reason}")
    entries, _ = scan_entries(board)
    candidates, problems = scan_entries(other)
    standing, _ = admit(ours, entries)
    added, present = [], 0
    for candidate in sorted(candidates, key=finished_first):
        problem = standing.offer(candidate)
        try:
            if problem:
                raise IntegrityError(problem)
            if _copy(candidate, board, other):
                added.append(candidate.run_id)
            else:
                present += 1
        except IntegrityError as error:
            problems.append(Problem(candidate.run_id, error.message))
    problems += copy_plain_methods(board, other)
    return Merged(tuple(sorted(added)), present, tuple(sorted(problems, key=lambda problem: problem.entry)))


def _copy(entry: Entry, board: Path, other: Path) -> bool:
    """Whether the entry was not there before.

    Raises:
        IntegrityError: Another record of the run was, or the other board changed meanwhile.
    """
    source = other / FOLDER / entry.run_id
    with new_entry(board, entry.run_id) as new:
        for name in LARGEST.keys() - {VERIFICATION}:
            if (source / name).exists():
                write_atomically(new / name, read_bytes(source / name, limit=LARGEST[name]))
        return put_entry(new, board)


def _differences(ours: Definition, theirs: Definition) -> Iterator[str]:
    """Why the figures of two boards can't stand in one table."""
    if ours.protocol != theirs.protocol:
        yield f"it is of protocol {theirs.protocol}, this one of {ours.protocol}."
    for cell in theirs.cells:
        same_pair = [mine for mine in ours.cells_of(cell.dataset, cell.pair) if not mine.is_open]
        if not same_pair or cell.is_open:
            continue
        mine = next((mine for mine in same_pair if mine.hashes == cell.hashes), None)
        if mine is None:
            yield (f"{cell.title} has the teacher {_short(cell)} there and {' or '.join(map(_short, same_pair))} here.")
        elif mine.test_set_sha256 != cell.test_set_sha256:
            yield f"{cell.title} is judged on another test set there."
        else:
            yield from _budget_differences(mine, cell)


def _budget_differences(ours: Cell, theirs: Cell) -> Iterator[str]:
    for tier in theirs.budgets:
        mine = ours.tier(tier.name)
        if mine is not None and mine != tier:
            yield f"the budget {tier.name} of {theirs.title} is another one there."


def _short(cell: Cell) -> str:
    return ", ".join(hash_[:12] for hash_ in cell.hashes)

"""What changed between two boards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dfkdbench.boards.model import Board, Row, Table

_COMPARED = (
    *("method", "rank", "mean", "half_width", "oracle", "variance", "worst_drop", "failure_rate", "verified"),
    *("unranked", "seconds", "teacher_queries", "replay_bytes", "peak_memory_mb", "hardware", "command"),
)


Kind = Literal["added", "removed", "changed"]
Fields = dict[str, tuple[object, object]]


@dataclass(frozen=True)
class Change:
    """A row that is new, gone or other.

    Attributes:
        table: The table's key.
        fields: Field -> (before, after), of rows that are in both boards.
    """

    kind: Kind
    table: str
    league: str
    method: str
    fields: Fields


def differences(old: Board, new: Board) -> list[Change]:
    """Every row that is not the same in two boards. Rows are the same one where table and settings are."""
    before, after = dict(_rows(old)), dict(_rows(new))
    changes = []
    for key in sorted(before.keys() | after.keys()):
        table, _ = key
        if key not in after:
            changes.append(_change("removed", table, before[key], {}))
        elif key not in before:
            changes.append(_change("added", table, after[key], {}))
        elif fields := _fields(before[key], after[key]):
            changes.append(_change("changed", table, after[key], fields))
    return changes


def _rows(board: Board) -> Iterator[tuple[tuple[str, str], Row]]:
    for table in board.tables:
        for row in table.rows:
            yield (_identity(table), row.key), row


def _identity(table: Table) -> str:
    """A table's key does not depend on the order of cells: it names its teachers."""
    return " ".join((table.dataset, table.pair, table.budget.name, *(each.sha256[:8] for each in table.teachers)))


def _change(kind: Kind, table: str, row: Row, fields: Fields) -> Change:
    return Change(kind, table, row.league, row.method, fields)


def _fields(before: Row, after: Row) -> Fields:
    found: Fields = {
        name: (getattr(before, name), getattr(after, name))
        for name in _COMPARED
        if getattr(before, name) != getattr(after, name)
    }
    if (old := _seeds(before)) != (new := _seeds(after)):
        found["seeds"] = (old, new)
    return found


def _seeds(row: Row) -> str:
    return " ".join(str(score.seed) for score in row.scores)

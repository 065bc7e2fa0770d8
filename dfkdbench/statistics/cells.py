"""Records sorted into what may be compared: groups of protocol, budget and league; in them cells; in them methods."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dfkdbench.errors import ComparisonError
from dfkdbench.records import Result
from dfkdbench.statistics.intervals import Interval, mean_interval

MINIMUM_SEEDS = 3
SEEDS_BELOW_A_POINT = 5


class Record(NamedTuple):
    """A result with where it lies and the hash of its settings: equal for runs that may be averaged."""

    result: Result
    folder: Path
    settings: str


class GroupKey(NamedTuple):
    """Nothing is compared across these."""

    protocol: str
    budget: str
    league: str


class CellKey(NamedTuple):
    """A cell of a group."""

    dataset: str
    pair: str
    teacher_sha256: str


@dataclass(frozen=True)
class Entry:
    """A method in a cell, with one settings.

    Attributes:
        scores: Final accuracy in percent of each seed that finished.
        failures: Status of each seed that did not.
        changed: Settings of the method that were changed away from its preset; none too where the records don't say.
    """

    method: str
    scores: dict[int, float] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()

    @property
    def interval(self) -> Interval | None:
        """Mean over finished seeds and its t interval; None where none finished."""
        return mean_interval([self.scores[seed] for seed in sorted(self.scores)]) if self.scores else None

    def absence(self, seed: int) -> str:
        """Why there is no score for a seed."""
        return f"{self.method} {self.failures.get(seed, 'has no record')}"


@dataclass(frozen=True)
class Group:
    """Cells of one protocol, budget and league, each with its methods by name."""

    key: GroupKey
    cells: dict[CellKey, dict[str, Entry]]

    @property
    def methods(self) -> tuple[str, ...]:
        """Every method of some cell."""
        return tuple(sorted({name for entries in self.cells.values() for name in entries}))


def group_records(records: Iterable[Record]) -> list[Group]:
    """Sorts records into groups and cells.

    A method is a plugin. Where one cell holds several settings of it, each is a method of its own, named
    plugin#settings: runs of other settings are never averaged. The same run found twice counts once.

    Raises:
        ComparisonError: Two runs of the same seed and settings in a cell.
    """
    groups: dict[GroupKey, dict[CellKey, list[Record]]] = defaultdict(lambda: defaultdict(list))
    seen = set()
    for record in records:
        result = record.result
        identity = (result.run_id, result.status, result.accuracy_final, result.student_sha256)
        if identity in seen:
            continue
        seen.add(identity)
        key = GroupKey(result.protocol, result.budget, result.league)
        groups[key][CellKey(result.dataset, result.pair, result.teacher_sha256)].append(record)
    return [
        Group(key, {cell: _entries(cell, cells[cell]) for cell in sorted(cells)})
        for key, cells in sorted(groups.items())
    ]


def _entries(cell: CellKey, records: list[Record]) -> dict[str, Entry]:
    """The methods of a cell by name."""
    variants = defaultdict(set)
    for record in records:
        variants[record.result.plugin].add(record.settings)
    entries: dict[str, Entry] = {}
    folders: dict[tuple[str, int], Path] = {}
    for result, folder, settings in records:
        name = f"{result.plugin}#{settings}" if len(variants[result.plugin]) > 1 else result.plugin
        if (name, result.seed) in folders:
            raise ComparisonError(
                f"Seed {result.seed} of {name} on {cell.dataset}, {cell.pair} is there twice: "
                f"{folders[name, result.seed]} and {folder}. One run a seed counts: name the run folders that do."
            )
        folders[name, result.seed] = folder
        entry = entries.setdefault(name, Entry(name, changed=result.changed_settings or ()))
        final = result.accuracy_final
        if result.status == "finished" and final is not None and math.isfinite(final):
            entry.scores[result.seed] = final
        else:
            entry.failures[result.seed] = "without accuracy" if result.status == "finished" else result.status
    return dict(sorted(entries.items()))

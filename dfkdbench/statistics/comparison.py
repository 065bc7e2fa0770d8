"""Everything that the records of one group say about its methods."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from dfkdbench.errors import ComparisonError
from dfkdbench.statistics.bootstrap import Aggregate, stratified_bootstrap
from dfkdbench.statistics.cells import CellKey, Entry, Group
from dfkdbench.statistics.paired import Outcome, PairedDifference, Tally, paired_difference, tally
from dfkdbench.statistics.ranks import RankTest, rank_methods


@dataclass(frozen=True)
class Pairing:
    """A method against another in one cell, and why seeds were left out."""

    cell: CellKey
    method: str
    against: str
    difference: PairedDifference
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A group compared.

    Attributes:
        pairings: Each method of a cell against the baseline, or against the cell's best.
        tallies: Wins, ties and losses over cells, of each method against the baseline, or of every two methods.
        shared_cells: Cells that two or more methods were run on, and one finished; aggregates and ranks are over all of
            these. A method that failed there is left out, not the cell.
        aggregates: Of the methods with a result in every shared cell, where there are two such cells or more.
        fewest_seeds: The fewest seeds that an aggregate has in a cell.
        ranks: None where they are refused.
        refusal: Why there are no ranks.
        left_out: Methods without aggregate and rank, each with the reason.
    """

    group: Group
    pairings: tuple[Pairing, ...]
    tallies: dict[tuple[str, str], Tally]
    shared_cells: tuple[CellKey, ...]
    aggregates: dict[str, tuple[Aggregate, ...]]
    fewest_seeds: int
    ranks: RankTest | None
    refusal: str
    left_out: dict[str, str]


def compare(group: Group, baseline: str | None = None) -> Comparison:
    """Compares the methods of a group; without a baseline each cell's best stands in for it."""
    shared = tuple(cell for cell, entries in group.cells.items() if len(entries) > 1 and _with_scores(entries))
    left_out = {method: reason for method in group.methods if (reason := _absences(group, shared, method))}
    complete = [method for method in group.methods if method not in left_out] if shared else []
    aggregates = {}
    if len(shared) > 1:
        aggregates = {
            method: stratified_bootstrap([list(group.cells[cell][method].scores.values()) for cell in shared])
            for method in complete
        }
    ranks, refusal = None, ""
    try:
        ranks = rank_methods({method: _task_means(group, shared, method) for method in complete})
    except ComparisonError as error:
        refusal = error.message
    return Comparison(
        group=group,
        pairings=tuple(_pairings(group, baseline)),
        tallies=_tallies(group, baseline),
        shared_cells=shared,
        aggregates=aggregates,
        fewest_seeds=min((len(group.cells[cell][method].scores) for cell in shared for method in complete), default=0),
        ranks=ranks,
        refusal=refusal,
        left_out=left_out,
    )


def best_of(entries: dict[str, Entry]) -> str | None:
    """The method of the highest mean, of those with two or more finished seeds where there is one.

    It is chosen by the numbers that it is then compared on, so a narrow lead over the second is partly luck.
    """
    candidates = _with_scores(entries)
    repeated = {name: entry for name, entry in candidates.items() if len(entry.scores) > 1}
    means = {name: np.mean(list(entry.scores.values())) for name, entry in (repeated or candidates).items()}
    return max(means, key=lambda name: means[name], default=None)


def _with_scores(entries: dict[str, Entry]) -> dict[str, Entry]:
    return {name: entry for name, entry in entries.items() if entry.scores}


def _pairings(group: Group, baseline: str | None) -> list[Pairing]:
    found = []
    for cell, entries in group.cells.items():
        against = baseline or best_of(entries)
        if against in entries:
            others = [name for name in entries if name != against]
            found += [_pairing(cell, entries[name], entries[against]) for name in others]
    return found


def _pairing(cell: CellKey, ours: Entry, theirs: Entry) -> Pairing:
    difference = paired_difference(ours.scores, theirs.scores)
    absences = []
    for seed in sorted({*ours.scores, *ours.failures, *theirs.scores, *theirs.failures} - {*difference.seeds}):
        reasons = [entry.absence(seed) for entry in (ours, theirs) if seed not in entry.scores]
        absences.append(f"seed {seed}: {' and '.join(reasons)}")
    return Pairing(cell, ours.method, theirs.method, difference, tuple(absences))


def _tallies(group: Group, baseline: str | None) -> dict[tuple[str, str], Tally]:
    pairs = list(combinations(group.methods, 2))
    if baseline is not None:
        pairs = [(method, baseline) for method in group.methods if method != baseline]
    outcomes = {pair: tally(_outcomes(group, *pair)) for pair in pairs}
    return {pair: counts for pair, counts in outcomes.items() if counts != Tally(0, 0, 0, 0)}


def _outcomes(group: Group, method: str, against: str) -> list[Outcome]:
    both = [entries for entries in group.cells.values() if method in entries and against in entries]
    return [paired_difference(entries[method].scores, entries[against].scores).outcome for entries in both]


def _absences(group: Group, cells: tuple[CellKey, ...], method: str) -> str:
    """Why a method has no result in every cell, or nothing where it has."""
    reasons = []
    for cell in cells:
        entry = group.cells[cell].get(method)
        if entry is not None and entry.scores:
            continue
        why = "no record"
        if entry is not None:
            why = "every run failed: " + ", ".join(f"seed {seed} {status}" for seed, status in entry.failures.items())
        elif variants := [name for name in group.cells[cell] if name.startswith(f"{method}#")]:
            why = f"several settings, {', '.join(variants)}"
        reasons.append(f"{cell.dataset} {cell.pair} teacher {cell.teacher_sha256[:8]} ({why})")
    return f"no result on {'; '.join(reasons)}" if reasons else ""


def _task_means(group: Group, cells: tuple[CellKey, ...], method: str) -> list[float]:
    """A value for each task (data set and pair): the mean over its teachers of the cells' means."""
    tasks: dict[tuple[str, str], list[float]] = defaultdict(list)
    for cell in cells:
        tasks[cell.dataset, cell.pair].append(float(np.mean(list(group.cells[cell][method].scores.values()))))
    return [float(np.mean(means)) for means in tasks.values()]

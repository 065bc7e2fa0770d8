"""Two methods in one cell: the difference over the seeds that both have, and what it amounts to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dfkdbench.statistics.intervals import CONFIDENCE, Interval, mean_interval

Outcome = Literal["win", "tie", "loss", "undecided"]


@dataclass(frozen=True)
class PairedDifference:
    """Ours minus theirs.

    Attributes:
        interval: Over the common seeds; None where there are none.
        seeds: Seeds that both have.
        left_out: Seeds that only one of them has.
    """

    interval: Interval | None
    seeds: tuple[int, ...]
    left_out: tuple[int, ...]

    @property
    def outcome(self) -> Outcome:
        """A tie where the interval contains 0, ends included; undecided where there is no interval."""
        if self.interval is None or self.interval.contains_zero is None:
            return "undecided"
        if self.interval.contains_zero:
            return "tie"
        return "win" if self.interval.mean > 0 else "loss"


@dataclass(frozen=True)
class Tally:
    """Cells that one method won, tied and lost against another, and those without an interval."""

    wins: int
    ties: int
    losses: int
    undecided: int


def paired_difference(
    ours: Mapping[int, float], theirs: Mapping[int, float], confidence: float = CONFIDENCE
) -> PairedDifference:
    """The difference of two methods' values by seed, with the t interval of its mean.

    Seeds pair because equal seeds start from the same student: its initial weights depend on pair and seed only. What
    both share cancels out, so the interval is often narrower than the cells' own.
    """
    common = sorted(ours.keys() & theirs.keys())
    differences = [ours[seed] - theirs[seed] for seed in common]
    interval = mean_interval(differences, confidence) if common else None
    return PairedDifference(interval, tuple(common), tuple(sorted(ours.keys() ^ theirs.keys())))


def tally(outcomes: Iterable[Outcome]) -> Tally:
    """Counts outcomes over cells."""
    counts = Counter(outcomes)
    return Tally(counts["win"], counts["tie"], counts["loss"], counts["undecided"])

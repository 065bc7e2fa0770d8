"""Paired differences: common seeds only, and what they amount to."""

from __future__ import annotations

import math
import statistics

import pytest

from dfkdbench.statistics.intervals import mean_interval
from dfkdbench.statistics.paired import Tally, paired_difference, tally


def test_paired_difference__of_the_common_seeds() -> None:
    ours, theirs = {0: 95.0, 1: 96.0, 2: 94.0, 7: 10.0}, {2: 93.5, 1: 95.0, 0: 92.0, 5: 99.0}
    found = paired_difference(ours, theirs)
    differences = [3.0, 1.0, 0.5]
    assert (found.seeds, found.left_out) == ((0, 1, 2), (5, 7))
    assert found.interval is not None
    assert found.interval.mean == pytest.approx(statistics.mean(differences))
    expected = 4.302653 * statistics.stdev(differences) / math.sqrt(3)
    assert found.interval.half_width == pytest.approx(expected)


def test_paired_difference__is_narrower_where_seeds_move_together() -> None:
    ours, theirs = {0: 80.0, 1: 90.0, 2: 95.0}, {0: 79.0, 1: 88.9, 2: 94.1}
    found = paired_difference(ours, theirs)
    assert found.outcome == "win"
    assert mean_interval(list(ours.values())).half_width > 15 * found.interval.half_width


def test_paired_difference__is_antisymmetric() -> None:
    ours, theirs = {0: 80.0, 1: 90.0, 2: 95.0}, {0: 75.0, 1: 84.0, 2: 91.0}
    there, back = paired_difference(ours, theirs), paired_difference(theirs, ours)
    assert there.interval.mean == -back.interval.mean
    assert there.interval.half_width == back.interval.half_width
    assert (there.outcome, back.outcome) == ("win", "loss")


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome"),
    [
        ({0: 90.0}, {0: 80.0}, "undecided"),
        ({0: 90.0}, {1: 80.0}, "undecided"),
        ({}, {}, "undecided"),
        ({0: 90.0, 1: 91.0}, {0: 90.0, 1: 91.0}, "tie"),
        ({0: 90.0, 1: 91.0}, {0: 89.0, 1: 90.0}, "win"),
        ({0: 90.0, 1: 91.0}, {0: 91.0, 1: 92.0}, "loss"),
        ({0: 90.0, 1: 91.0, 2: 92.0}, {0: 91.0, 1: 90.0, 2: 92.0}, "tie"),
        ({0: 90.0, 1: 91.0}, {0: 88.0, 1: 80.0}, "tie"),
    ],
)
def test_outcome__overlap_is_a_tie_and_one_seed_decides_nothing(
    ours: dict[int, float], theirs: dict[int, float], outcome: str
) -> None:
    assert paired_difference(ours, theirs).outcome == outcome


def test_paired_difference__without_common_seeds_has_no_interval() -> None:
    found = paired_difference({0: 1.0}, {1: 2.0})
    assert (found.interval, found.seeds, found.left_out) == (None, (), (0, 1))


def test_tally() -> None:
    assert tally(["win", "tie", "win", "undecided", "loss"]) == Tally(2, 1, 1, 1)
    assert tally([]) == Tally(0, 0, 0, 0)

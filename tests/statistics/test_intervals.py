"""The t interval against its formula, at its limits, and over many simulated cells."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from dfkdbench.statistics.intervals import Interval, mean_interval, t_half_width

T_95 = {2: 12.706, 3: 4.303, 5: 2.776, 10: 2.262}
"""Student's t for 95 %, by number of values, from the printed tables."""


@pytest.mark.parametrize("values", [[91.0, 93.5], [91.0, 93.5, 92.25], [96.8, 97.0, 96.2, 98.1, 97.4]], ids=len)
def test_mean_interval__as_the_tables_say(values: list[float]) -> None:
    found = mean_interval(values)
    assert found.mean == pytest.approx(statistics.mean(values))
    expected = T_95[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    assert found.half_width == pytest.approx(expected, rel=2e-4)
    assert found.count == len(values)


def test_mean_interval__as_scipys_own() -> None:
    values = [80.0, 85.5, 79.25, 83.0]
    low, high = stats.t.interval(0.9, 3, loc=np.mean(values), scale=stats.sem(values))
    found = mean_interval(values, confidence=0.9)
    assert found.half_width is not None
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))


def test_mean_interval__one_seed_has_none() -> None:
    assert mean_interval([95.6]) == Interval(95.6, None, 1)
    assert mean_interval([95.6]).contains_zero is None
    with pytest.raises(ValueError, match="at least two values, given 1"):
        t_half_width([95.6])


def test_mean_interval__equal_values_have_no_width() -> None:
    assert mean_interval([92.0] * 4) == Interval(92.0, 0.0, 4)


@pytest.mark.parametrize(
    ("mean", "half_width", "contains"),
    [(1.0, 1.0, True), (-1.0, 1.0, True), (1.0, 0.999, False), (0.0, 0.0, True), (-0.2, 0.0, False)],
)
def test_interval__its_ends_belong_to_it(mean: float, half_width: float, contains: bool) -> None:
    assert Interval(mean, half_width, 3).contains_zero is contains


CELLS = 40_000
"""Enough that the standard error of a coverage of 95 % is 0.11 points, a thirteenth of the tolerance."""


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("images", [None, 500], ids=["normal", "on-500-images"])
def test_coverage__is_95_percent_within_a_point_and_a_half(images: int | None, seeds: int) -> None:
    generator = np.random.default_rng(20261)
    accuracies = generator.normal(95.0, 1.5, (CELLS, seeds))
    if images is not None:
        accuracies = generator.binomial(images, np.clip(accuracies / 100, 0, 1)) * 100 / images
    covered = np.abs(accuracies.mean(axis=1) - 95.0) <= t_half_width(accuracies)
    assert 100 * covered.mean() == pytest.approx(95.0, abs=1.5)


@pytest.mark.parametrize(("seeds", "percent"), [(3, 49.2), (5, 66.7), (10, 87.7)])
def test_coverage__falls_short_where_a_seed_in_five_collapses(seeds: int, percent: float) -> None:
    """The docstring's warning, with its numbers."""
    generator = np.random.default_rng(20262)
    shape = (CELLS, seeds)
    collapsed = generator.random(shape) < 0.2
    accuracies = np.where(collapsed, generator.normal(70.0, 5.0, shape), generator.normal(95.0, 1.0, shape))
    covered = np.abs(accuracies.mean(axis=1) - 90.0) <= t_half_width(accuracies)
    assert 100 * covered.mean() == pytest.approx(percent, abs=1.5)

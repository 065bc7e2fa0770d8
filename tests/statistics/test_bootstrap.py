"""The stratified bootstrap against a plain one, at its limits, and how much it really covers."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from dfkdbench.statistics.bootstrap import AGGREGATES, Aggregate, expected_coverage, stratified_bootstrap

CELLS = [[91.0, 93.5, 92.0, 92.5], [70.0, 75.0, 71.5, 72.0], [55.0, 58.0, 57.5, 54.0]]


def by_name(cells: list[list[float]], **changes: float) -> dict[str, Aggregate]:
    return {found.name: found for found in stratified_bootstrap(cells, **changes)}


def test_values__as_rliable_defines_them() -> None:
    found = by_name(CELLS)
    means = [statistics.mean(cell) for cell in CELLS]
    assert tuple(found) == AGGREGATES
    assert found["mean"].value == pytest.approx(statistics.mean(means))
    assert found["median"].value == pytest.approx(statistics.median(means))
    pooled = list(itertools.chain(*CELLS))
    assert found["interquartile mean"].value == pytest.approx(stats.trim_mean(pooled, 0.25))


def test_values__every_cell_weighs_the_same_however_many_seeds() -> None:
    found, doubled = by_name(CELLS), by_name([CELLS[0] * 3, CELLS[1], CELLS[2] * 2])
    for name in AGGREGATES:
        assert doubled[name].value == pytest.approx(found[name].value)


def test_interquartile_mean__takes_border_runs_in_part() -> None:
    # six runs of a sixth each: the middle half holds half of the second, the third, the fourth and half of the fifth
    found = by_name([[1.0, 2.0, 30.0], [40.0, 500.0, 600.0]])
    assert found["interquartile mean"].value == pytest.approx((0.5 * 2 + 30 + 40 + 0.5 * 500) / 3)


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("mean", lambda cells: statistics.mean(map(statistics.mean, cells))),
        ("median", lambda cells: statistics.median(map(statistics.mean, cells))),
        ("interquartile mean", lambda cells: stats.trim_mean(list(itertools.chain(*cells)), 0.25)),
    ],
)
def test_intervals__as_a_plain_bootstraps(name: str, figure: Callable[[list[list[float]]], float]) -> None:
    plain = random.Random(0)
    drawn = sorted(figure([plain.choices(cell, k=len(cell)) for cell in CELLS]) for _ in range(4000))
    found = by_name(CELLS, repetitions=20_000)[name]
    assert found.low == pytest.approx(drawn[100], abs=0.15)
    assert found.high == pytest.approx(drawn[-100], abs=0.15)


def test_intervals__same_records_same_bytes_and_order_of_seeds_is_nothing_to_the_values() -> None:
    assert stratified_bootstrap(CELLS) == stratified_bootstrap(CELLS)
    turned = by_name([cell[::-1] for cell in CELLS])
    for name, found in by_name(CELLS).items():
        assert turned[name].value == pytest.approx(found.value)


def test_intervals__equal_seeds_have_no_width() -> None:
    for found in stratified_bootstrap([[90.0] * 3, [80.0] * 3]):
        assert found.low == pytest.approx(found.high) == pytest.approx(found.value) == pytest.approx(85.0)


@pytest.mark.parametrize("cells", [[[90.0, 91.0, 92.0]], [[90.0, 91.0], [80.0]]], ids=["one-cell", "one-seed"])
def test_intervals__none_for_one_cell_or_a_cell_of_one_seed(cells: list[list[float]]) -> None:
    for found in stratified_bootstrap(cells):
        assert (found.low, found.high) == (None, None)
        assert found.value > 0


@pytest.mark.parametrize("cells", [[], [[90.0], []]])
def test_nothing_to_aggregate__is_the_callers_mistake(cells: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one cell"):
        stratified_bootstrap(cells)


def coverage_of_the_mean(cells: int, seeds: int, simulations: int) -> float:
    generator = np.random.default_rng(20263)
    centres = np.linspace(60.0, 97.0, cells)
    values = generator.normal(centres, 1.5, (simulations, seeds, cells)).transpose(0, 2, 1)
    hits = 0
    for index, simulated in enumerate(values):
        mean = stratified_bootstrap(simulated.tolist(), repetitions=400, seed=index)[0]
        hits += mean.low <= centres.mean() <= mean.high
    return 100 * hits / simulations


@pytest.mark.parametrize(("cells", "seeds", "percent"), [(2, 3, 81.6), (2, 5, 87.8), (20, 3, 88.6)])
def test_coverage__falls_as_short_as_the_docstring_says(cells: int, seeds: int, percent: float) -> None:
    """1,000 simulations: the standard error is 1.2 points at 82 %, so 95 % is eleven of them away."""
    found = coverage_of_the_mean(cells, seeds, 1000)
    assert found == pytest.approx(percent, abs=3.0)
    assert found < 100 * expected_coverage(seeds) + 2.0 < 95.0


@pytest.mark.parametrize(("seeds", "percent"), [(1, 0.0), (2, 83.4), (3, 89.0), (5, 92.0), (10_000, 95.0)])
def test_expected_coverage(seeds: int, percent: float) -> None:
    assert 100 * expected_coverage(seeds) == pytest.approx(percent, abs=0.06)

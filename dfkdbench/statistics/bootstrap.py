"""Aggregates over cells with a stratified bootstrap: seeds are resampled inside each cell, cells are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dfkdbench.statistics.intervals import CONFIDENCE

AGGREGATES = ("mean", "median", "interquartile mean")
REPETITIONS = 2000
_SEED = 20261
_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Aggregate:
    """One figure for many cells; `low` and `high` are None where a cell has a single seed or there is one cell."""

    name: str
    value: float
    low: float | None
    high: float | None


def stratified_bootstrap(
    cells: Sequence[Sequence[float]],
    confidence: float = CONFIDENCE,
    repetitions: int = REPETITIONS,
    seed: int = _SEED,
) -> tuple[Aggregate, ...]:
    """Mean, median and interquartile mean over cells, with percentile intervals (Agarwal et al., NeurIPS 2021).

    As rliable: the mean and the median are of the cells' means; the interquartile mean is that of all runs together.
    Departure: each cell has the same weight however many seeds it has, and a run on the border of a quartile counts
    in part. So the interquartile mean equals rliable's where cells have equal seeds and the number of runs divides
    by four.

    The interval says how much the figure would move with other seeds on these same cells, not with other cells. It
    covers less than it says where seeds are few, since n values resampled have a variance too small by (n - 1) / n.
    Measured for a nominal 95 % on normal values with equal spread in every cell, 2,000 simulations of 500 resamples,
    in percent, for mean, median and interquartile mean:

        seeds   2 cells      8 cells      20 cells
        3       82  82  85   86  79  85   89  82  89
        5       88  88  89   92  87  90   92  89  93
        10      91  91  91   93  92  92   93  92  93

    Take it for aggregates only; a single cell has the t interval.

    Raises:
        ValueError: No cell, or a cell without values.
    """
    if not cells or not all(len(cell) for cell in cells):
        raise ValueError("An aggregate takes at least one cell, and a value in each.")
    values = [np.asarray(cell, dtype=np.float64) for cell in cells]
    measured = _aggregate([cell[np.newaxis] for cell in values])
    if len(cells) < 2 or min(map(len, cells)) < 2:
        return tuple(Aggregate(name, float(measured[name][0]), None, None) for name in AGGREGATES)
    generator = np.random.default_rng(seed)
    drawn = [cell[generator.integers(len(cell), size=(repetitions, len(cell)))] for cell in values]
    tail = (1.0 - confidence) / 2.0
    ends = {name: np.quantile(figures, [tail, 1.0 - tail]) for name, figures in _aggregate(drawn).items()}
    return tuple(
        Aggregate(name, float(measured[name][0]), float(ends[name][0]), float(ends[name][1])) for name in AGGREGATES
    )


def expected_coverage(seeds: int, confidence: float = CONFIDENCE) -> float:
    """What the mean's interval covers at this many seeds in each of many normal cells; over few cells it is less.

    P(|Z| <= z sqrt((n - 1) / n)) for a standard normal Z: 83 % at 2 seeds, 89 % at 3, 92 % at 5.
    """
    quantile = stats.norm.ppf((1.0 + confidence) / 2.0)
    return float(1.0 - 2.0 * stats.norm.sf(quantile * np.sqrt((seeds - 1) / seeds)))


def _aggregate(cells: Sequence[_Array]) -> dict[str, _Array]:
    """Each figure (R,) of R repetitions, from each cell's runs (R, n)."""
    means = np.stack([cell.mean(axis=1) for cell in cells], axis=1)
    weights = np.concatenate([np.full(cell.shape[1], 1.0 / (len(cells) * cell.shape[1])) for cell in cells])
    return {
        "mean": means.mean(axis=1),
        "median": np.median(means, axis=1),
        "interquartile mean": _interquartile_mean(np.concatenate(cells, axis=1), weights),
    }


def _interquartile_mean(values: _Array, weights: _Array) -> _Array:
    """Mean of the middle half of the weight, (R,) from values (R, N) and weights (N,) that add up to 1."""
    order = np.argsort(values, axis=1)
    sorted_weights = weights[order]
    upper = np.cumsum(sorted_weights, axis=1)
    inside = np.clip(np.minimum(upper, 0.75) - np.maximum(upper - sorted_weights, 0.25), 0.0, None)
    middle: _Array = (np.take_along_axis(values, order, axis=1) * inside).sum(axis=1) / inside.sum(axis=1)
    return middle

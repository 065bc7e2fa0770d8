"""The t interval of a mean over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and the half-width of its confidence interval, which is None where one value is all there is."""

    mean: float
    half_width: float | None
    count: int

    @property
    def contains_zero(self) -> bool | None:
        """Whether 0 lies in the interval, ends included; None without an interval."""
        return None if self.half_width is None else abs(self.mean) <= self.half_width


def t_half_width(values: ArrayLike, confidence: float = CONFIDENCE) -> NDArray[np.float64]:
    """Half-widths t * s / sqrt(n) along the last axis (Student, Biometrika 1908); s has n - 1 in its denominator.

    t is the (1 + confidence) / 2 quantile of Student's distribution with n - 1 degrees of freedom. Exact for normal
    values at any n. Percent covered in 20,000 simulated cells of 3, 5 and 10 seeds:

        normal                                     95.0  94.9  95.2
        normal, measured on 500 test images        94.8  94.9  95.0
        one seed in five ends 25 points lower      49.2  66.7  87.7

    So where a method collapses now and then, three seeds that look alike say less than their interval does.

    Raises:
        ValueError: Fewer than two values.
    """
    array = np.asarray(values, dtype=np.float64)
    count = array.shape[-1]
    if count < 2:
        raise ValueError(f"An interval takes at least two values, given {count}.")
    quantile = float(stats.t.ppf((1.0 + confidence) / 2.0, count - 1))
    spread: NDArray[np.float64] = array.std(axis=-1, ddof=1)
    return spread * (quantile / math.sqrt(count))


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The mean of at least one value, with its interval where there are two or more."""
    half_width = float(t_half_width(values, confidence)) if len(values) > 1 else None
    return Interval(float(np.mean(values)), half_width, len(values))

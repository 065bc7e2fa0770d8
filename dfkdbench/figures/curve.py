"""What the accuracies over a run say together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LAST = 5


class CurveFigures(NamedTuple):
    """Figures of a curve of accuracies a_1 ... a_n, in percent; the variance in squared points.

    Attributes:
        best: The highest. Chosen on the test set, so never ranked.
        mean: mu = sum(a_i) / n, as PRE-DFKD reports it (Binici et al., AAAI 2022).
        variance: sigma^2 = sum((a_i - mu)^2) / n, likewise: over all evaluations, not a sample of more.
        last5: Mean of the last five, or of all where there are fewer.
        worst_drop: max over i of max(a_1, ..., a_i) - a_i: the deepest fall below what had been reached.
    """

    best: float
    mean: float
    variance: float
    last5: float
    worst_drop: float


def curve_figures(accuracies: Sequence[float]) -> CurveFigures | None:
    """The figures of a curve; None for one without points."""
    if not accuracies:
        return None
    curve = np.array(accuracies, dtype=float)
    return CurveFigures(
        best=float(curve.max()),
        mean=float(curve.mean()),
        variance=float(curve.var()),
        last5=float(curve[-LAST:].mean()),
        worst_drop=float((np.maximum.accumulate(curve) - curve).max()),
    )

"""Figures of a curve, against plain sums."""

from __future__ import annotations

from fractions import Fraction

import pytest

from dfkdbench.figures.curve import curve_figures

CURVE = [50.0, 80.0, 60.0, 90.0, 85.0, 70.0]


def test_curve_figures__are_the_formulas() -> None:
    figures = curve_figures(CURVE)
    assert figures is not None
    points = [Fraction(value) for value in CURVE]
    mean = sum(points) / 6
    assert figures.best == 90
    assert figures.mean == pytest.approx(float(mean))
    assert figures.variance == pytest.approx(float(sum((point - mean) ** 2 for point in points) / 6))
    assert figures.last5 == pytest.approx(float(sum(points[1:]) / 5))
    assert figures.worst_drop == pytest.approx(
        float(max(max(points[: index + 1]) - point for index, point in enumerate(points)))
    )
    assert figures.worst_drop == 20


def test_curve_figures__one_point_has_no_spread_and_rising_ones_no_drop() -> None:
    assert curve_figures([40.0]) == (40.0, 40.0, 0.0, 40.0, 0.0)
    rising = curve_figures([10.0, 20.0, 30.0])
    assert rising is not None
    assert (rising.worst_drop, rising.last5) == (0, 20)
    assert curve_figures([]) is None


def test_curve_figures__the_drop_is_from_the_best_before_not_from_the_last() -> None:
    figures = curve_figures([90.0, 80.0, 85.0, 75.0, 95.0])
    assert figures is not None
    assert figures.worst_drop == 15

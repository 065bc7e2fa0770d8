"""From figures to places in a plot, and the figures that stand at its axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

_SMALLEST_ERROR = 0.05
_LEAST_RATIO = 4.0
_AIR = 1.15


@dataclass(frozen=True)
class Scale:
    """Places of figures along an axis.

    Attributes:
        start: Place of the axis's first end; figures beyond an end are drawn at it.
        end: Place of the other.
        transform: Figure -> 0 at the first end, 1 at the other.
        ticks: Figures that are named at the axis.
    """

    start: float
    end: float
    transform: Callable[[float], float]
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """The place of a figure."""
        return self.start + min(1.0, max(0.0, self.transform(value))) * (self.end - self.start)


def accuracy_scale(values: Iterable[float], start: float, end: float, gap: float) -> Scale:
    """Accuracies in percent, equal steps being equal factors of the error: 80, 90, 95 and 97.5 are equally far apart.

    So methods between 95 and 99 are told apart in the plot that also shows one at 10.

    Args:
        values: All that is to be seen.
        gap: Least distance between two ticks.
    """
    errors = [min(100.0, max(_SMALLEST_ERROR, 100.0 - value)) for value in values] or [1.0, 100.0]
    low, high = min(errors) / _AIR, min(100.0, max(errors) * _AIR)
    if high / low < _LEAST_RATIO / 2:
        low /= 2
    span = math.log(high / low)

    def transform(value: float) -> float:
        return math.log(high / max(low, 100.0 - value)) / span

    scale = Scale(start, end, transform, ())
    named = [100.0 - error for error in _ones_twos_fives(low, high)]
    return Scale(start, end, transform, _spread(sorted(named, reverse=True), scale, gap))


def log_scale(values: Sequence[float], start: float, end: float, gap: float) -> Scale:
    """Positive figures, equal steps being equal factors."""
    low, high = min(values) / _AIR, max(values) * _AIR
    if high / low < _LEAST_RATIO:
        widen = math.sqrt(_LEAST_RATIO * low / high)
        low, high = low / widen, high * widen
    span = math.log(high / low)

    def transform(value: float) -> float:
        return math.log(value / low) / span

    scale = Scale(start, end, transform, ())
    return Scale(start, end, transform, _spread(list(_ones_twos_fives(low, high)), scale, gap))


def linear_scale(low: float, high: float, start: float, end: float, gap: float) -> Scale:
    """Figures between two, equal steps being equal."""
    span = (high - low) or 1.0

    def transform(value: float) -> float:
        return (value - low) / span

    return Scale(start, end, transform, tuple(_multiples(low, high, span * gap / abs(end - start))))


def brief(value: float) -> str:
    """A figure for an axis: 200, 20k, 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.4g}"


def _ones_twos_fives(low: float, high: float) -> Iterator[float]:
    """1, 2, 5, 10, 20, ... as far as they lie in a range; rising."""
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for digit in (1, 2, 5):
            value = digit * 10.0**exponent
            if low <= value <= high:
                yield value


def _multiples(low: float, high: float, least: float) -> Iterator[float]:
    """Multiples of 1, 2 or 5 of some power of ten, at least a step apart; rising."""
    step = next(_ones_twos_fives(least, least * 10))
    for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield index * step


def _spread(candidates: Iterable[float], scale: Scale, gap: float) -> tuple[float, ...]:
    """As many candidates as keep their distance, the first ones first."""
    kept: list[float] = []
    for value in candidates:
        if all(abs(scale(value) - scale(other)) >= gap for other in kept):
            kept.append(value)
    return tuple(kept)

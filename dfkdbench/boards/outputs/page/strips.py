"""Intervals as small pictures beside their figures: one axis for all rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dfkdbench.boards.model import Effect, Row, Table
from dfkdbench.boards.outputs.page.leagues import Look
from dfkdbench.boards.outputs.page.markup import Markup, element
from dfkdbench.boards.outputs.page.scales import Scale, accuracy_scale, brief, linear_scale

_WIDTH = 190
_HEIGHT = 20
_MIDDLE = _HEIGHT // 2
_MARGIN = 7
_TICK_GAP = 24
_MOST_SEEDS = 40
_BEYOND = f"M{_MARGIN + 9} {_MIDDLE}H{_MARGIN - 5}m5 -5l-5 5l5 5"
"""An arrow to the left: what is meant lies there, beyond the axis."""


def told_apart(table: Table, of: Callable[[Row], Iterable[float]]) -> list[float]:
    """The accuracies that a plot of a table should tell apart: those of teachers and rows.

    Controls that are below all of these are not among them: beside them methods would look alike.

    Args:
        of: A row's accuracies.
    """
    values = [teacher.accuracy for teacher in table.teachers]
    values += [value for row in table.rows if not row.control for value in of(row)]
    controls = [value for row in table.controls for value in of(row)]
    measured = any(row.mean is not None for row in table.rows if not row.control)
    return values + [value for value in controls if not measured or value >= min(values)]


def accuracy_axis(table: Table) -> Scale:
    """The axis of the accuracy strips of a table."""
    return accuracy_scale(told_apart(table, _seeds_of), _MARGIN, _WIDTH - _MARGIN, _TICK_GAP)


def accuracy_strip(row: Row, scale: Scale, look: Look, teacher: float | None) -> Markup | None:
    """Seeds as dots, mean and t interval of a row, and where the teacher is; an arrow for a mean beyond the axis."""
    if row.mean is None:
        return None
    dots = "".join(f"M{scale(score.accuracy):.1f} {_MIDDLE}h0" for score in row.scores[:_MOST_SEEDS])
    parts: list[Markup | None] = []
    if teacher is not None:
        parts.append(element("path", class_="teacher-line", d=f"M{scale(teacher):.1f} 1V{_HEIGHT - 1}"))
    if scale.transform(row.mean) < 0:
        return _strip([*parts, element("path", class_=f"whisker {look.class_}", d=_BEYOND)])
    parts += [
        _whisker(row.mean, row.half_width, scale, look),
        element("path", class_="seeds", d=dots),
        look.mark(scale(row.mean), _MIDDLE),
    ]
    return _strip(parts)


def _seeds_of(row: Row) -> list[float]:
    return [score.accuracy for score in row.scores]


def effect_axis(effects: Sequence[Effect]) -> Scale:
    """The axis of the effect strips of a table: points of accuracy, with 0 always in it."""
    ends = [0.0]
    for effect in effects:
        ends += [effect.mean - (effect.half_width or 0.0), effect.mean + (effect.half_width or 0.0)]
    return linear_scale(min(ends), max(ends), _MARGIN, _WIDTH - _MARGIN, _TICK_GAP)


def effect_strip(effect: Effect, scale: Scale, look: Look) -> Markup:
    """A difference with its t interval, and where 0 is."""
    zero = element("path", class_="teacher-line", d=f"M{scale(0):.1f} 1V{_HEIGHT - 1}")
    whisker = _whisker(effect.mean, effect.half_width, scale, look)
    return _strip([zero, whisker, look.mark(scale(effect.mean), _MIDDLE)])


def axis_strip(scale: Scale) -> Markup:
    """The axis itself, for the heading."""
    marks = "".join(f"M{scale(tick):.1f} {_HEIGHT}v-4" for tick in scale.ticks)
    labels = (element("text", brief(tick), x=f"{scale(tick):.1f}", y=_HEIGHT - 7) for tick in scale.ticks)
    return _strip([element("path", class_="axis", d=marks), *labels], "strip axis-strip")


def _whisker(mean: float, half_width: float | None, scale: Scale, look: Look) -> Markup | None:
    if half_width is None:
        return None
    start, end = scale(mean - half_width), scale(mean + half_width)
    return element("path", class_=f"whisker {look.class_}", d=f"M{start:.1f} {_MIDDLE}H{end:.1f}")


def _strip(parts: Iterable[Markup | None], class_: str = "strip") -> Markup:
    return element(
        "svg",
        *parts,
        class_=class_,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        width=_WIDTH,
        height=_HEIGHT,
        aria_hidden="true",
    )

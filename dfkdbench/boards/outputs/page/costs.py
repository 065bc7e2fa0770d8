"""Accuracy against cost: a plot for each kind of cost, with what no other row of a league beats in both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dfkdbench.boards.model import Row, Table
from dfkdbench.boards.outputs import layout
from dfkdbench.boards.outputs.page.labels import Box, Label, place_labels
from dfkdbench.boards.outputs.page.leagues import REFERENCE, Look, in_order
from dfkdbench.boards.outputs.page.markup import Child, Markup, element, joined, shortened
from dfkdbench.boards.outputs.page.scales import Scale, accuracy_scale, brief, log_scale
from dfkdbench.boards.outputs.page.strips import look_of
from dfkdbench.boards.outputs.page.tables import Column, folded, lines, numbers, plain_table

_WIDTH, _HEIGHT = 580, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 568, 12, 392
_PLOT = Box(_LEFT + 2, _TOP, _RIGHT, _BOTTOM - 2)
_LONGEST_NAME = 32
_MOST_NAMED = 40


@dataclass(frozen=True)
class Cost:
    """A kind of cost."""

    name: str
    word: str
    of: Callable[[Row], float | None]


@dataclass(frozen=True)
class _Front:
    """What is not beaten in a league, as places in a plot from left to right."""

    look: Look
    places: Sequence[tuple[float, float]]

    def drawing(self) -> Markup:
        """Steps from each place to the next."""
        (x, y), *others = self.places
        path = f"M{x:.1f} {y:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in others)
        return element("path", class_=f"front {self.look.class_}", d=path, stroke_dasharray=self.look.dash or None)

    def boxes(self) -> Iterator[Box]:
        """Where its lines are."""
        for (x, y), (next_x, next_y) in pairwise(self.places):
            yield Box(x, y - 1, next_x, y + 1)
            yield Box(next_x - 1, next_y, next_x + 1, y)


COSTS = (
    Cost("Device seconds", "seconds", lambda row: row.seconds),
    Cost("Teacher queries", "queries", lambda row: row.teacher_queries),
)


def costs(table: Table, looks: dict[str, Look]) -> Markup | None:
    """The section of a table's cost plots, or None where there is nothing to plot."""
    rows = [row for row in table.rows if row.mean is not None]
    drawn = [
        _figure(table, cost, found, looks) for cost in COSTS if (found := [r for r in rows if (cost.of(r) or 0) > 0])
    ]
    if not drawn:
        return None
    return element(
        "section",
        element("h3", "Accuracy against cost", id=f"{table.key}-costs"),
        element(
            "p",
            "Up and to the left is better. Bars are 95 % t intervals over seeds. A line joins the rows of a league "
            "that no other of it beats in both. Dashed: the teacher. Both axes are logarithmic, the upward one in the "
            "error. ↓ marks controls below the plot.",
            class_="note",
        ),
        _legend(table, looks),
        element("div", *drawn, class_="pair"),
        _figures(table, rows),
        aria_labelledby=f"{table.key}-costs",
    )


def frontier(rows: Sequence[Row], cost: Cost) -> list[Row]:
    """The rows that no other beats: each is more accurate than all that cost less. By rising cost."""
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: (cost.of(row) or 0.0, -(row.mean or 0.0), row.key)):
        if not best or (row.mean or 0.0) > (best[-1].mean or 0.0):
            best.append(row)
    return best


def _legend(table: Table, looks: Mapping[str, Look]) -> Markup:
    leagues = in_order(looks, (ranking.league for ranking in table.rankings))
    items = [joined([look.swatch(), f" League {league}"]) for league, look in leagues]
    if table.controls:
        items.append(joined([REFERENCE.swatch(), " Control"]))
    return lines(items, class_="legend")


def _accuracies(table: Table) -> list[float]:
    """What the upward axis holds: means, since bars that leave the plot say enough."""
    rows = [row for row in table.rows if not row.control] or table.rows
    means = [row.mean for row in rows if row.mean is not None]
    return [*(teacher.accuracy for teacher in table.teachers), *means]


def _figure(table: Table, cost: Cost, rows: Sequence[Row], looks: dict[str, Look]) -> Markup:
    across = log_scale([cost.of(row) or 0.0 for row in rows], _LEFT + 12, _RIGHT - 12, 44)
    up = accuracy_scale(_accuracies(table), _BOTTOM - 8, _TOP + 10, 22)
    fronts = _fronts(rows, cost, across, up, looks)
    identity = f"{table.key}-{cost.word}-plot"
    drawing = element(
        "svg",
        element("title", f"{table.title}: accuracy against {cost.name.lower()}", id=f"{identity}-title"),
        element("desc", _in_words(rows, cost), id=f"{identity}-text"),
        _axes(table, cost, across, up),
        *(front.drawing() for front in fronts),
        *_points(rows, cost, across, up, looks, [box for front in fronts for box in front.boxes()]),
        class_="plot",
        role="img",
        aria_labelledby=f"{identity}-title {identity}-text",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
    )
    box = element("div", drawing, class_="scroll", role="region", tabindex=0, aria_label=f"Plot: {cost.name}")
    return element("figure", element("figcaption", f"Accuracy against {cost.name.lower()}"), box, class_="cost")


def _axes(table: Table, cost: Cost, across: Scale, up: Scale) -> Markup:
    grid = "".join(f"M{_LEFT} {up(tick):.1f}H{_RIGHT}" for tick in up.ticks)
    grid += "".join(f"M{across(tick):.1f} {_TOP}V{_BOTTOM}" for tick in across.ticks)
    parts: list[Child] = [element("path", class_="grid", d=grid)]
    parts += [element("text", brief(tick), x=_LEFT - 6, y=f"{up(tick) + 4:.1f}", class_="up") for tick in up.ticks]
    parts += [element("text", brief(tick), x=f"{across(tick):.1f}", y=_BOTTOM + 17) for tick in across.ticks]
    parts.append(element("text", f"{cost.name}, mean over seeds", x=(_LEFT + _RIGHT) / 2, y=_BOTTOM + 38))
    if table.teachers:
        place = up(table.teachers[0].accuracy)
        parts.append(element("path", class_="teacher-line", d=f"M{_LEFT} {place:.1f}H{_RIGHT}"))
    return joined(parts)


def _fronts(rows: Sequence[Row], cost: Cost, across: Scale, up: Scale, looks: Mapping[str, Look]) -> list[_Front]:
    """The line of what is not beaten in each league: steps, since nothing was measured between two rows."""
    fronts = []
    for league, look in looks.items():
        found = frontier([row for row in rows if row.league == league and not row.control], cost)
        places = [(across(cost.of(row) or 0.0), up(row.mean or 0.0)) for row in found]
        if len(places) > 1:
            fronts.append(_Front(look, places))
    return fronts


def _points(
    rows: Sequence[Row], cost: Cost, across: Scale, up: Scale, looks: dict[str, Look], lines_there: Sequence[Box]
) -> list[Markup]:
    places = [(across(cost.of(row) or 0), up(row.mean or 0)) for row in rows]
    names = [_name(row, up) for row in rows]
    bars = [_bar(row, x, up) for row, (x, _) in zip(rows, places, strict=True) if row.half_width is not None]
    labels = place_labels(places[:_MOST_NAMED], names[:_MOST_NAMED], _PLOT, [*bars, *lines_there])
    labels += [None] * (len(rows) - len(labels))
    points = []
    for row, name, (x, y), label in zip(rows, names, places, labels, strict=True):
        look = look_of(row, looks)
        told = f"{shortened(row.method)}: {_accuracy(row)} %, {layout.number(cost.of(row), 0)} {cost.word}"
        parts: list[Child] = [element("title", told)]
        if row.half_width is not None:
            bar = _bar(row, x, up)
            path = f"M{x:.1f} {bar.bottom:.1f}V{bar.top:.1f}"
            parts.append(element("path", class_=f"whisker thin {look.class_}", d=path))
        parts.append(look.mark(x, y))
        if label is not None:
            parts += _label(label, name, look, x, y)
        points.append(element("g", *parts, data_row=None if row.control else row.key))
    return points


def _name(row: Row, up: Scale) -> str:
    """What stands at a point; below the plot's lower end also how far below."""
    name = shortened(row.method, _LONGEST_NAME)
    return f"{name} {layout.number(row.mean)} ↓" if up.transform(row.mean or 0.0) < 0 else name


def _bar(row: Row, x: float, up: Scale) -> Box:
    """Where a row's interval is drawn."""
    mean, half_width = row.mean or 0.0, row.half_width or 0.0
    return Box(x - 1, up(mean + half_width), x + 1, up(mean - half_width))


def _label(label: Label, name: str, look: Look, x: float, y: float) -> list[Child]:
    """A point's name and, where it stands far off, a line that leads there."""
    text = element("text", name, x=f"{label.x:.1f}", y=f"{label.y:.1f}", class_=f"name {look.class_}")
    if not label.far:
        return [text]
    edge = min(max(x, label.x), label.x + label.width)
    return [element("path", class_="leader", d=f"M{x:.1f} {y:.1f}L{edge:.1f} {label.y - 4:.1f}"), text]


def _in_words(rows: Sequence[Row], cost: Cost) -> str:
    measured = [row for row in rows if not row.control]
    sentences = [f"{len(measured)} methods and {len(rows) - len(measured)} controls."]
    for league in dict.fromkeys(row.league for row in measured):
        found = frontier([row for row in measured if row.league == league], cost)
        named = ", ".join(
            f"{shortened(row.method)} ({_accuracy(row)} %, {layout.number(cost.of(row), 0)} {cost.word})"
            for row in found
        )
        sentences.append(f"League {league}, beaten in both by no other: {named}.")
    return " ".join(sentences)


def _accuracy(row: Row) -> str:
    return layout.interval(row.mean, row.half_width)


def _figures(table: Table, rows: Sequence[Row]) -> Markup:
    columns = [
        Column("Method"),
        Column("League"),
        numbers("Accuracy %", "descending"),
        *(numbers(cost.name) for cost in COSTS),
        Column("Not beaten in accuracy and"),
    ]
    best = {cost.name: _unbeaten(rows, cost) for cost in COSTS}
    cells: list[list[Child]] = [
        [
            shortened(row.method),
            "control" if row.control else row.league,
            _accuracy(row),
            *(layout.number(cost.of(row), 0) for cost in COSTS),
            ", ".join(cost.word for cost in COSTS if row.key in best[cost.name]) or layout.NOTHING,
        ]
        for row in rows
    ]
    caption = f"Accuracy and cost of {table.title}: means over seeds, accuracy with the 95 % t interval."
    return folded("The plots as a table", plain_table(f"{table.key}-costs-table", caption, columns, cells))


def _unbeaten(rows: Sequence[Row], cost: Cost) -> set[str]:
    """Keys of the rows that no other of their league beats in accuracy and a cost."""
    keys: set[str] = set()
    for league in {row.league for row in rows if not row.control}:
        mine = [row for row in rows if row.league == league and not row.control and (cost.of(row) or 0) > 0]
        keys |= {row.key for row in frontier(mine, cost)}
    return keys

"""One plot of accuracy against a cost, both on logarithmic axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from dfkdbench.boards.model import Row, Table
from dfkdbench.boards.outputs import layout
from dfkdbench.boards.outputs.page.labels import Box, Label, place_labels
from dfkdbench.boards.outputs.page.leagues import Look, filter_key, look_of
from dfkdbench.boards.outputs.page.markup import Child, Markup, element, joined, shortened
from dfkdbench.boards.outputs.page.scales import Scale, accuracy_scale, brief, log_scale
from dfkdbench.boards.outputs.page.strips import told_apart

_WIDTH, _HEIGHT = 580, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 568, 12, 392
_PLOT = Box(_LEFT + 2, _TOP, _RIGHT, _BOTTOM - 2)
_LONGEST_NAME = 32
_MOST_NAMED = 40


@dataclass(frozen=True)
class Cost:
    """A kind of cost, and what a row spent of it."""

    name: str
    word: str
    of: Callable[[Row], float | None]


COSTS = (
    Cost("Device seconds", "seconds", lambda row: row.seconds),
    Cost("Teacher queries", "queries", lambda row: row.teacher_queries),
)


@dataclass(frozen=True)
class _Point:
    """A row in the plot.

    Attributes:
        bar: Where its interval is drawn; None for a single seed.
        label: What stands at it.
        told: What a pointer that rests on it is told.
    """

    row: Row
    look: Look
    x: float
    y: float
    bar: Box | None
    label: str
    told: str


@dataclass(frozen=True)
class _Front:
    """What is not beaten in a league, as places in the plot from left to right.

    It is drawn as steps, since nothing was measured between two rows.
    """

    league: str
    look: Look
    places: Sequence[tuple[float, float]]

    def drawing(self) -> Markup:
        """The steps."""
        (x, y), *others = self.places
        path = f"M{x:.1f} {y:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in others)
        class_ = f"front {self.look.class_}"
        return element("path", class_=class_, d=path, stroke_dasharray=self.look.dash or None, data_league=self.league)

    def boxes(self) -> Iterator[Box]:
        """Where its lines are."""
        for (x, y), (next_x, next_y) in pairwise(self.places):
            yield Box(x, y - 1, next_x, y + 1)
            yield Box(next_x - 1, next_y, next_x + 1, y)


def cost_plot(table: Table, cost: Cost, rows: Sequence[Row], looks: Mapping[str, Look]) -> Markup:
    """The plot of rows that all have an accuracy and a positive cost."""
    across = log_scale([cost.of(row) or 0.0 for row in rows], _LEFT + 12, _RIGHT - 12, 44)
    up = accuracy_scale(_accuracies(table), _BOTTOM - 8, _TOP + 10, 22)
    points = [_point(row, look_of(row, looks), cost, across, up) for row in rows]
    fronts = [
        _Front(league, look, places)
        for league, look in looks.items()
        if len(places := _places(points, league, cost)) > 1
    ]
    identity = f"{table.key}-{cost.word}-plot"
    drawing = element(
        "svg",
        element("title", f"{table.title}: accuracy against {cost.name.lower()}", id=f"{identity}-title"),
        element("desc", _in_words(rows, cost), id=f"{identity}-text"),
        _axes(table, cost, across, up),
        *(front.drawing() for front in fronts),
        *_drawn(points, [box for front in fronts for box in front.boxes()]),
        class_="plot",
        role="img",
        aria_labelledby=f"{identity}-title {identity}-text",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
    )
    box = element("div", drawing, class_="scroll", role="region", tabindex=0, aria_label=f"Plot: {cost.name}")
    return element("figure", element("figcaption", f"Accuracy against {cost.name.lower()}"), box, class_="cost")


def frontier(rows: Sequence[Row], cost: Cost) -> list[Row]:
    """The rows that no other beats: each is more accurate than all that cost less. By rising cost."""
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: (cost.of(row) or 0.0, -(row.mean or 0.0), row.key)):
        if not best or (row.mean or 0.0) > (best[-1].mean or 0.0):
            best.append(row)
    return best


def accuracy_of(row: Row) -> str:
    """The mean with its interval."""
    return layout.interval(row.mean, row.half_width)


def _accuracies(table: Table) -> list[float]:
    """What the upward axis holds: means, since bars that leave the plot say enough."""
    return told_apart(table, lambda row: [] if row.mean is None else [row.mean])


def _point(row: Row, look: Look, cost: Cost, across: Scale, up: Scale) -> _Point:
    mean, spent = row.mean or 0.0, cost.of(row) or 0.0
    x = across(spent)
    wide = row.half_width
    return _Point(
        row=row,
        look=look,
        x=x,
        y=up(mean),
        bar=None if wide is None else Box(x - 1, up(mean + wide), x + 1, up(mean - wide)),
        label=shortened(row.method, _LONGEST_NAME) + (f" {mean:.2f} ↓" if up.transform(mean) < 0 else ""),
        told=f"{shortened(row.method)}: {accuracy_of(row)} %, {layout.number(spent, 0)} {cost.word}",
    )


def _places(points: Sequence[_Point], league: str, cost: Cost) -> list[tuple[float, float]]:
    """Where the rows of a league are that no other of it beats."""
    mine = {point.row.key: point for point in points if point.row.league == league and not point.row.control}
    best = frontier([point.row for point in mine.values()], cost)
    return [(mine[row.key].x, mine[row.key].y) for row in best]


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


def _drawn(points: Sequence[_Point], lines: Sequence[Box]) -> Iterator[Markup]:
    """Marks, bars and names; of very many points the first are named."""
    named = points[:_MOST_NAMED]
    obstacles = [*(point.bar for point in named if point.bar), *lines]
    labels = place_labels([(point.x, point.y) for point in named], [point.label for point in named], _PLOT, obstacles)
    for point, label in zip_longest(points, labels):
        parts: list[Child] = [element("title", point.told)]
        if point.bar:
            path = f"M{point.x:.1f} {point.bar.bottom:.1f}V{point.bar.top:.1f}"
            parts.append(element("path", class_=f"whisker thin {point.look.class_}", d=path))
        parts += [point.look.mark(point.x, point.y), *_named(point, label)]
        yield element("g", *parts, data_row=filter_key(point.row))


def _named(point: _Point, label: Label | None) -> Iterator[Markup]:
    """A point's name and, where it stands far off, a line that leads there."""
    if label is None:
        return
    if label.far:
        edge = min(max(point.x, label.x), label.x + label.width)
        yield element("path", class_="leader", d=f"M{point.x:.1f} {point.y:.1f}L{edge:.1f} {label.y - 4:.1f}")
    class_ = f"name {point.look.class_}"
    yield element("text", point.label, x=f"{label.x:.1f}", y=f"{label.y:.1f}", class_=class_)


def _in_words(rows: Sequence[Row], cost: Cost) -> str:
    measured = [row for row in rows if not row.control]
    sentences = [f"{len(measured)} methods and {len(rows) - len(measured)} controls."]
    for league in dict.fromkeys(row.league for row in measured):
        found = frontier([row for row in measured if row.league == league], cost)
        named = ", ".join(
            f"{shortened(row.method)} ({accuracy_of(row)} %, {layout.number(cost.of(row), 0)} {cost.word})"
            for row in found
        )
        sentences.append(f"League {league}, beaten in both by no other: {named}.")
    return " ".join(sentences)

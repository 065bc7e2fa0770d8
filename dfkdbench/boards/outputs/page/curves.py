"""Accuracy over the budget: a small plot for each method, all with the same axes, the others of its league in grey."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dfkdbench.boards.model import Curve, Row, Table
from dfkdbench.boards.outputs import layout
from dfkdbench.boards.outputs.page.leagues import REFERENCE, Look, filter_key
from dfkdbench.boards.outputs.page.markup import Child, Markup, element, joined, shortened
from dfkdbench.boards.outputs.page.scales import Scale, accuracy_scale, brief, linear_scale
from dfkdbench.boards.outputs.page.tables import Column, folded, numbers, plain_table

_WIDTH, _HEIGHT = 240, 160
_LEFT, _RIGHT, _TOP, _BOTTOM = 28, 232, 8, 140
_MOST_POINTS = 60
_MOST_COLUMNS = 12


def curves(table: Table, looks: Mapping[str, Look]) -> Markup | None:
    """The section of a table's curves, or None where there are none."""
    groups = [(ranking.league, looks[ranking.league], ranking.rows) for ranking in table.rankings]
    groups.append(("", REFERENCE, table.controls))
    drawn = [(name, look, [row for row in rows if row.curve]) for name, look, rows in groups]
    every = [row for _, _, rows in drawn for row in rows]
    if not every:
        return None
    axes = _axes(table, every)
    return element(
        "section",
        element("h3", "Accuracy over the budget", id=f"{table.key}-curves"),
        element(
            "p",
            "Line: mean over seeds. Band: from the lowest seed to the highest. Grey: the other rows of the league. ",
            "Dashed: the teacher. Across: student samples. Up: accuracy in percent, stretched towards 100.",
            class_="note",
        ),
        *(_group(table, name, look, rows, axes) for name, look, rows in drawn if rows),
        _figures(table, every),
    )


class _Axes:
    """What all plots of a table have in common: scales, grid, ticks, teacher."""

    def __init__(self, across: Scale, up: Scale, teacher: float | None) -> None:
        self.across = across
        self.up = up
        grid = "".join(f"M{_LEFT} {up(tick):.1f}H{_RIGHT}" for tick in up.ticks)
        grid += "".join(f"M{across(tick):.1f} {_BOTTOM}v3" for tick in across.ticks)
        self.drawing = joined(
            [
                element("path", class_="grid", d=grid),
                *(
                    element("text", brief(tick), x=_LEFT - 4, y=f"{up(tick) + 3.5:.1f}", class_="up")
                    for tick in up.ticks
                ),
                *(element("text", brief(tick), x=f"{across(tick):.1f}", y=_BOTTOM + 14) for tick in across.ticks),
                None
                if teacher is None
                else element("path", class_="teacher-line", d=f"M{_LEFT} {up(teacher):.1f}H{_RIGHT}"),
            ]
        )

    def line(self, curve: Curve, accuracies: Sequence[float]) -> str:
        """An SVG path through a curve's accuracies."""
        points = [
            f"{self.across(curve.samples[index]):.1f} {self.up(accuracies[index]):.1f}"
            for index in thinned(len(accuracies), _MOST_POINTS)
        ]
        return "M" + "L".join(points)

    def band(self, curve: Curve) -> str:
        """An SVG path around everything between the lowest and the highest seed."""
        back = self.line(curve, curve.high).removeprefix("M").split("L")[::-1]
        return f"{self.line(curve, curve.low)}L{'L'.join(back)}z"


def thinned(count: int, most: int) -> list[int]:
    """Indexes of at most so many of a sequence's items, evenly spread, the last one always among them."""
    if count <= most:
        return list(range(count))
    return [round((index + 1) * count / most) - 1 for index in range(most)]


def _axes(table: Table, rows: Iterable[Row]) -> _Axes:
    found = [row.curve for row in rows if row.curve]
    accuracies = [value for curve in found for values in (curve.low, curve.high) for value in values]
    teacher = table.teachers[0].accuracy if table.teachers else None
    end = max([table.budget.student_samples, *(curve.samples[-1] for curve in found if curve.samples)])
    up = accuracy_scale([*accuracies, *([] if teacher is None else [teacher])], _BOTTOM, _TOP, 15)
    return _Axes(linear_scale(0, end, _LEFT, _RIGHT, 50), up, teacher)


def _group(table: Table, league: str, look: Look, rows: Sequence[Row], axes: _Axes) -> Markup:
    """The plots of a league. Its lines are drawn once and used in the background of each."""
    identity = f"{table.key}-{league or 'controls'}-lines"
    lines = "".join(axes.line(row.curve, row.curve.mean) for row in rows if row.curve)
    defined = element("defs", element("path", id=identity, d=lines))
    heading = ["League ", league] if league else ["Controls"]
    return element(
        "div",
        element("svg", defined, class_="sprite", width=0, height=0, aria_hidden="true"),
        element("h4", look.swatch(), *heading),
        element("div", *(_panel(table, row, look, identity, axes) for row in rows), class_="panels"),
        data_group=True,
    )


def _panel(table: Table, row: Row, look: Look, lines: str, axes: _Axes) -> Markup:
    curve = row.curve
    if curve is None or not curve.samples:
        return joined([])
    identity = f"{table.key}-{row.key}-curve"
    name = shortened(row.method)
    drawing = element(
        "svg",
        element("title", f"{name}: accuracy over student samples", id=f"{identity}-title"),
        element("desc", _in_words(row, curve), id=f"{identity}-text"),
        axes.drawing,
        element("use", href=f"#{lines}", class_="others"),
        element("path", class_=f"band {look.class_}", d=axes.band(curve)),
        element("path", class_=f"curve {look.class_}", d=axes.line(curve, curve.mean)),
        look.mark(axes.across(curve.samples[-1]), axes.up(curve.mean[-1])),
        class_="plot",
        role="img",
        aria_labelledby=f"{identity}-title {identity}-text",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
    )
    caption = element("figcaption", element("span", name), element("b", layout.number(curve.mean[-1])))
    return element("figure", caption, drawing, class_="panel", data_row=filter_key(row))


def _in_words(row: Row, curve: Curve) -> str:
    best = max(range(len(curve.mean)), key=curve.mean.__getitem__)
    return (
        f"Mean of {len(row.scores)} seeds: {curve.mean[0]:.2f} % after {curve.samples[0]:,} student samples, highest "
        f"{curve.mean[best]:.2f} % after {curve.samples[best]:,}, at the end {curve.mean[-1]:.2f} %, "
        f"seeds from {curve.low[-1]:.2f} to {curve.high[-1]:.2f} %."
    )


def _figures(table: Table, rows: Sequence[Row]) -> Markup:
    """The curves as a table: mean and range at each evaluation."""
    most = max(len(row.curve.mean) for row in rows if row.curve)
    chosen = thinned(most, _MOST_COLUMNS)
    columns = [Column("Method"), Column("League"), *(numbers(f"{index + 1}", "descending") for index in chosen)]
    cells: list[list[Child]] = [
        [shortened(row.method), "control" if row.control else row.league, *_at(row.curve, chosen)]
        for row in rows
        if row.curve
    ]
    keys = [filter_key(row) for row in rows if row.curve]
    caption = (
        f"Accuracy in percent at the evaluations of {table.title}: mean over seeds, lowest to highest seed. "
        f"Evaluations are evenly spread over {table.budget.student_samples:,} student samples."
    )
    return folded("The curves as a table", plain_table(f"{table.key}-curves-table", caption, columns, cells, keys))


def _at(curve: Curve, chosen: Iterable[int]) -> list[Child]:
    return [
        f"{curve.mean[index]:.2f} ({curve.low[index]:.1f} to {curve.high[index]:.1f})"
        if index < len(curve.mean)
        else "-"
        for index in chosen
    ]

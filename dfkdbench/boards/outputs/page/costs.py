"""Accuracy against cost: the section of a table's cost plots, and the same in words and figures."""

from __future__ import annotations

from collections.abc import Mapping

from dfkdbench.boards.model import Row, Table
from dfkdbench.boards.outputs import layout
from dfkdbench.boards.outputs.page.costplot import COSTS, Cost, accuracy_of, cost_plot, frontier
from dfkdbench.boards.outputs.page.leagues import REFERENCE, Look, filter_key, in_order
from dfkdbench.boards.outputs.page.markup import Child, Markup, element, joined, shortened
from dfkdbench.boards.outputs.page.tables import Column, folded, lines, numbers, plain_table


def costs(table: Table, looks: Mapping[str, Look]) -> Markup | None:
    """The section of a table's cost plots, or None where there is nothing to plot."""
    plots = [cost_plot(table, cost, rows, looks) for cost in COSTS if (rows := _plotted(table, cost))]
    if not plots:
        return None
    return element(
        "section",
        element("h3", "Accuracy against cost", id=f"{table.key}-costs"),
        element(
            "p",
            "Up and to the left is better. Bars are 95 % t intervals over seeds. A line joins the rows of a league "
            "that no other of it beats in both. Dashed: the teacher. Both axes are logarithmic, the upward one in the "
            "error. ↓ marks controls below the plot.",
            " Seconds are of different hardware." if len(layout.hardware(table.rows)) > 1 else None,
            class_="note",
        ),
        _legend(table, looks),
        element("div", *plots, class_="pair"),
        _figures(table),
    )


def _plotted(table: Table, cost: Cost) -> list[Row]:
    """Rows that have both an accuracy and a cost."""
    return [row for row in table.rows if row.mean is not None and (cost.of(row) or 0.0) > 0.0]


def _legend(table: Table, looks: Mapping[str, Look]) -> Markup:
    leagues = in_order(looks, (ranking.league for ranking in table.rankings))
    items = [joined([look.swatch(), f" League {league}"]) for league, look in leagues]
    if table.controls:
        items.append(joined([REFERENCE.swatch(), " Control"]))
    return lines(items, class_="legend")


def _figures(table: Table) -> Markup:
    columns = [
        Column("Method"),
        Column("League"),
        numbers("Accuracy %", "descending"),
        *(numbers(cost.name) for cost in COSTS),
        Column("Not beaten in accuracy and"),
    ]
    rows = [row for row in table.rows if row.mean is not None]
    best = {cost: _unbeaten(table, cost) for cost in COSTS}
    cells: list[list[Child]] = [
        [
            shortened(row.method),
            "control" if row.control else row.league,
            accuracy_of(row),
            *(layout.number(cost.of(row), 0) for cost in COSTS),
            ", ".join(cost.word for cost in COSTS if row.key in best[cost]) or layout.NOTHING,
        ]
        for row in rows
    ]
    caption = f"Accuracy and cost of {table.title}: means over seeds, accuracy with the 95 % t interval."
    keys = map(filter_key, rows)
    return folded("The plots as a table", plain_table(f"{table.key}-costs-table", caption, columns, cells, keys))


def _unbeaten(table: Table, cost: Cost) -> set[str]:
    """Keys of the rows that no other of their league beats in both accuracy and a cost."""
    by_league: dict[str, list[Row]] = {}
    for row in _plotted(table, cost):
        if not row.control:
            by_league.setdefault(row.league, []).append(row)
    return {row.key for rows in by_league.values() for row in frontier(rows, cost)}

"""The ranking of a cell: one table whose bodies are leagues, so that sorting never puts one league among another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from dfkdbench.boards.model import Row, Table
from dfkdbench.boards.outputs import layout
from dfkdbench.boards.outputs.page.leagues import REFERENCE, Look, filter_key, look_of, seen_in
from dfkdbench.boards.outputs.page.markup import Child, Markup, element, joined, shortened
from dfkdbench.boards.outputs.page.strips import accuracy_axis, accuracy_strip, axis_strip
from dfkdbench.boards.outputs.page.tables import (
    Column,
    Order,
    body_row,
    header_cell,
    number_cell,
    numbers,
    scrolling_table,
    text_cell,
)

_ACCURACY, _STABILITY, _COST, _EVIDENCE = "Accuracy, %", "Over the run", "Cost", "Evidence"
_MOST_HARDWARE = 3

_Figure = tuple[Column, Callable[[Row], Markup]]
"""A column and what makes its cells."""


def ranking(table: Table, looks: Mapping[str, Look], minimum_seeds: int, left: int = 0) -> Markup | None:
    """The table of a cell's rows, or None where there are none.

    Args:
        left: How many rows more there are than are shown.
    """
    if not table.rows:
        return None
    figures = list(_figures(table, looks))
    bodies = [
        _body(
            _title(each.league, looks[each.league]),
            figures,
            [_line(row, figures) for row in each.rows],
            data_group=True,
        )
        for each in table.rankings
    ]
    bodies.append(_references(table, figures))
    caption = (
        f"{table.title}: accuracy at the end of the budget, mean and 95 % t interval over seeds. Ranked inside each "
        f"league; teachers, controls and rows below {minimum_seeds} finished seeds have no rank."
    )
    if left:
        caption += f" {left:,} rows more are in results.csv."
    return scrolling_table(f"{table.key}-ranking", caption, [column for column, _ in figures], bodies, "ranking")


def row_id(table: Table, row: Row) -> str:
    """Where the page says everything about a row."""
    return f"{table.key}-{row.key}"


def method_name(row: Row) -> Markup:
    """A row's name, the parts that were exchanged in weaker letters; † where who ran it set more than parts."""
    name = shortened(row.method)
    head, rest = (row.plugin, name[len(row.plugin) :]) if name.startswith(row.plugin) else (name, "")
    dagger = element("abbr", "†", title="settings changed by who ran it") if row.settings else None
    return joined([element("b", head), element("span", rest, class_="parts") if rest else None, dagger])


def _figures(table: Table, looks: Mapping[str, Look]) -> Iterator[_Figure]:
    """The columns of a table: what is the same for all its rows, or empty, has none."""
    scale = accuracy_axis(table)
    teacher = table.teachers[0].accuracy if table.teachers else None

    def name(row: Row) -> Markup:
        return header_cell(element("a", method_name(row), href=f"#{row_id(table, row)}"))

    def accuracy(row: Row) -> Markup:
        strip = accuracy_strip(row, scale, look_of(row, looks), teacher)
        return number_cell(joined([element("span", layout.interval(row.mean, row.half_width)), strip]), row.mean)

    def linked(row: Row) -> Markup:
        return (
            _linked(layout.failures(row), f"{table.key}-failures", row.failure_rate) if row.failures else number_cell(0)
        )

    def claimed(row: Row) -> Markup:
        claims = layout.claimed(row.claims)
        return _linked(claims, f"{table.key}-claims", None) if row.claims else number_cell(claims)

    yield Column("Rank", number=True, sorted_as="ascending"), _rank
    yield Column("Method"), name
    yield Column("At the end", True, "descending", _ACCURACY, note=axis_strip(scale)), accuracy
    yield _number("Best on test", _ACCURACY, lambda row: row.oracle, best="descending", note="never ranked")
    yield _number("Mean", _STABILITY, lambda row: row.stability_mean, best="descending")
    yield _number("Variance", _STABILITY, lambda row: row.variance)
    yield _number("Worst drop", _STABILITY, lambda row: row.worst_drop)
    yield _number("Seconds", _COST, lambda row: row.seconds, 0)
    yield _number("Teacher queries", _COST, lambda row: row.teacher_queries, 0)
    yield _number("Replay, bytes", _COST, lambda row: row.replay_bytes, 0)
    yield _number("Memory, MB", _COST, lambda row: row.peak_memory_mb, 0)
    yield numbers("Seeds", "descending", _EVIDENCE), _seeds
    yield numbers("Failures", group=_EVIDENCE), linked
    yield Column("Verified", group=_EVIDENCE), lambda row: text_cell(row.verified)
    if any(row.claims for row in table.rows):
        yield numbers("Claims of papers", "descending", _EVIDENCE), claimed
    if len(layout.hardware(table.rows)) > 1:
        yield Column("Hardware", group=_EVIDENCE), _hardware


def _number(
    name: str,
    group: str,
    of: Callable[[Row], float | None],
    decimals: int = 2,
    best: Order = "ascending",
    note: str = "",
) -> _Figure:
    """A column of a row's figures."""
    column = Column(name, True, best, group, note=element("small", note) if note else None)
    return column, lambda row: number_cell(layout.number(of(row), decimals))


def _rank(row: Row) -> Markup:
    return text_cell(element("b", row.rank) if row.rank is not None else row.unranked, class_="number rank")


def _seeds(row: Row) -> Markup:
    every = len(row.scores) + len(row.failures)
    return number_cell(f"{len(row.scores)} of {every}" if row.failures else every)


def _hardware(row: Row) -> Markup:
    more = len(row.hardware) - _MOST_HARDWARE
    return text_cell("; ".join(row.hardware[:_MOST_HARDWARE]) + (f" and {more} more" if more > 0 else ""))


def _linked(text: str, target: str, value: float | None) -> Markup:
    """A cell that leads to where more is said about it."""
    shown = element("a", text, href=f"#{target}")
    return element("td", shown, class_="number linked", data_value=None if value is None else f"{value:.6g}")


def _line(row: Row, figures: Sequence[_Figure]) -> Markup:
    cells = [cell(row) for _, cell in figures]
    key = filter_key(row)
    if key is None:
        return body_row(cells)
    return body_row(
        cells, data_row=key, data_league=row.league, data_seeds=len(row.scores), data_name=shortened(row.method)
    )


def _references(table: Table, figures: Sequence[_Figure]) -> Markup:
    """Teachers and controls, which have no rank."""
    blanks = [text_cell(layout.NOTHING, class_="number")] * (len(figures) - 3)
    teachers = [
        body_row(
            [
                text_cell("teacher", class_="number rank"),
                header_cell(element("b", teacher.name)),
                number_cell(layout.number(teacher.accuracy)),
                *blanks,
            ]
        )
        for teacher in table.teachers
    ]
    title = joined([REFERENCE.swatch(), " Teacher and controls", element("small", "no rank")])
    return _body(title, figures, [*teachers, *(_line(row, figures) for row in table.controls)], class_="references")


def _title(league: str, look: Look) -> Markup:
    words = seen_in(league)
    return joined([look.swatch(), f" League {league}", element("small", words) if words else None])


def _body(title: Child, figures: Sequence[_Figure], rows: Sequence[Markup], **attributes: str | bool) -> Markup:
    heading = element("th", element("span", title), scope="rowgroup", colspan=len(figures))
    return element("tbody", element("tr", heading, class_="title"), *rows, **attributes)

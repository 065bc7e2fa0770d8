"""The ranking of a cell: one table whose bodies are leagues, so that sorting never puts one league among another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dfkdbench.boards.model import Ranking, Row, Table
from dfkdbench.boards.outputs import layout
from dfkdbench.boards.outputs.page.leagues import REFERENCE, Look, seen_in
from dfkdbench.boards.outputs.page.markup import Child, Markup, element, joined, shortened
from dfkdbench.boards.outputs.page.scales import Scale
from dfkdbench.boards.outputs.page.strips import accuracy_axis, accuracy_strip, axis_strip
from dfkdbench.boards.outputs.page.tables import (
    Column,
    body_row,
    header_cell,
    number_cell,
    numbers,
    scrolling_table,
    text_cell,
)

_ACCURACY, _STABILITY, _COST, _EVIDENCE = "Accuracy, %", "Over the run", "Cost", "Evidence"
_MOST_HARDWARE = 3


def ranking(table: Table, looks: Mapping[str, Look], minimum_seeds: int, left: int = 0) -> Markup | None:
    """The table of a cell's rows, or None where there are none.

    Args:
        left: How many rows more there are than are shown.
    """
    if not table.rows:
        return None
    scale = accuracy_axis(table)
    hardware = len(layout.hardware(table.rows)) > 1
    columns = _columns(scale, hardware)
    bodies = [_league(each, table, looks[each.league], scale, columns, hardware) for each in table.rankings]
    bodies.append(_references(table, scale, columns, hardware))
    caption = (
        f"{table.title}: accuracy at the end of the budget, mean and 95 % t interval over seeds. Ranked inside each "
        f"league; teachers, controls and rows below {minimum_seeds} finished seeds have no rank."
    )
    if left:
        caption += f" {left:,} rows more are in results.csv."
    return scrolling_table(f"{table.key}-ranking", caption, columns, bodies, "ranking")


def row_id(table: Table, row: Row) -> str:
    """Where the page says everything about a row."""
    return f"{table.key}-{row.key}"


def method_name(row: Row) -> Markup:
    """A row's name, the parts that were exchanged in weaker letters; † where who ran it set more than parts."""
    name = shortened(row.method)
    head, rest = (row.plugin, name[len(row.plugin) :]) if name.startswith(row.plugin) else (name, "")
    dagger = element("abbr", "†", title="settings changed by who ran it") if row.settings else None
    return joined([element("b", head), element("span", rest, class_="parts") if rest else None, dagger])


def _columns(scale: Scale, hardware: bool) -> list[Column]:
    final = Column("At the end", True, "descending", _ACCURACY, note=axis_strip(scale))
    columns = [
        Column("Rank", number=True, sorted_as="ascending"),
        Column("Method"),
        final,
        Column("Best on test", True, "descending", _ACCURACY, note=element("small", "never ranked")),
        numbers("Mean", "descending", _STABILITY),
        numbers("Variance", group=_STABILITY),
        numbers("Worst drop", group=_STABILITY),
        numbers("Seconds", group=_COST),
        numbers("Teacher queries", group=_COST),
        numbers("Replay, bytes", group=_COST),
        numbers("Memory, MB", group=_COST),
        numbers("Seeds", "descending", _EVIDENCE),
        numbers("Failures", group=_EVIDENCE),
        Column("Verified", group=_EVIDENCE),
        numbers("Claims of papers", "descending", _EVIDENCE),
    ]
    return [*columns, Column("Hardware", group=_EVIDENCE)] if hardware else columns


def _league(
    ranking: Ranking, table: Table, look: Look, scale: Scale, columns: Sequence[Column], hardware: bool
) -> Markup:
    words = seen_in(ranking.league)
    heading = joined([look.swatch(), f" League {ranking.league}", element("small", words) if words else None])
    rows = [_row(row, table, look, scale, hardware) for row in ranking.rows]
    return _body(heading, columns, rows, data_group=True)


def _references(table: Table, scale: Scale, columns: Sequence[Column], hardware: bool) -> Markup:
    heading = joined([REFERENCE.swatch(), " Teacher and controls", element("small", "no rank")])
    blanks = [text_cell(layout.NOTHING, class_="number")] * (len(columns) - 3)
    rows = [
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
    rows += [_row(row, table, REFERENCE, scale, hardware) for row in table.controls]
    return _body(heading, columns, rows, class_="references")


def _body(heading: Child, columns: Sequence[Column], rows: Sequence[Markup], **attributes: str | bool) -> Markup:
    title = element("th", element("span", heading), scope="rowgroup", colspan=len(columns))
    return element("tbody", element("tr", title, class_="title"), *rows, **attributes)


def _row(row: Row, table: Table, look: Look, scale: Scale, hardware: bool) -> Markup:
    teacher = table.teachers[0].accuracy if table.teachers else None
    accuracy = joined(
        [element("span", layout.interval(row.mean, row.half_width)), accuracy_strip(row, scale, look, teacher)]
    )
    every = len(row.scores) + len(row.failures)
    cells = [
        text_cell(element("b", row.rank) if row.rank is not None else row.unranked, class_="number rank"),
        header_cell(element("a", method_name(row), href=f"#{row_id(table, row)}")),
        number_cell(accuracy, row.mean),
        number_cell(layout.number(row.oracle)),
        number_cell(layout.number(row.stability_mean)),
        number_cell(layout.number(row.variance)),
        number_cell(layout.number(row.worst_drop)),
        number_cell(layout.number(row.seconds, 0)),
        number_cell(layout.number(row.teacher_queries, 0)),
        number_cell(layout.number(row.replay_bytes, 0)),
        number_cell(layout.number(row.peak_memory_mb, 0)),
        number_cell(f"{len(row.scores)} of {every}" if row.failures else len(row.scores)),
        _failures(table, row),
        text_cell(row.verified),
        _claims(table, row),
    ]
    if hardware:
        cells.append(text_cell(hardware_of(row)))
    if row.control:
        return body_row(cells)
    return body_row(
        cells, data_row=row.key, data_league=row.league, data_seeds=len(row.scores), data_name=shortened(row.method)
    )


def hardware_of(row: Row) -> str:
    """What a row was measured on."""
    more = len(row.hardware) - _MOST_HARDWARE
    return "; ".join(row.hardware[:_MOST_HARDWARE]) + (f" and {more} more" if more > 0 else "")


def _failures(table: Table, row: Row) -> Markup:
    if not row.failures:
        return number_cell(0)
    link = element("a", layout.failures(row), href=f"#{table.key}-failures")
    return element("td", link, class_="number failed", data_value=f"{row.failure_rate:.6g}")


def _claims(table: Table, row: Row) -> Markup:
    if not row.claims:
        return number_cell(layout.NOTHING)
    link = element("a", layout.claimed(row.claims), href=f"#{table.key}-claims")
    return element("td", link, class_="number claim")

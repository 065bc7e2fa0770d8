"""The rows of a cell one by one: sample images, the command that makes the row again, and its seeds."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dfkdbench.boards.entries import FOLDER, RESULT
from dfkdbench.boards.model import Row, Table
from dfkdbench.boards.outputs import layout
from dfkdbench.boards.outputs.page.leagues import Look, filter_key, look_of
from dfkdbench.boards.outputs.page.markup import Child, Markup, element, joined, path_in_board, shortened
from dfkdbench.boards.outputs.page.ranking import method_name, row_id
from dfkdbench.boards.outputs.page.tables import Column, folded, numbers, plain_table

_LONGEST_COMMAND = 2000
_FLAG = re.compile(r" (?=--)")
_MOST_SEEDS = 40


def cards(table: Table, looks: Mapping[str, Look]) -> Markup | None:
    """The section of a table's rows, or None where there are none."""
    if not table.rows:
        return None
    return element(
        "section",
        element("h3", "Row by row", id=f"{table.key}-rows"),
        element("p", "Sample images, the command that makes a row again, and its seeds.", class_="note"),
        element(
            "div",
            *(_card(table, row, look_of(row, looks)) for row in table.rows),
            class_="cards",
        ),
    )


def _card(table: Table, row: Row, look: Look) -> Markup:
    identity = row_id(table, row)
    standing = "control" if row.control else f"league {row.league}, {_standing(row)}"
    return element(
        "article",
        _picture(row),
        element(
            "div",
            element("h4", look.swatch(), " ", method_name(row), id=f"{identity}-name"),
            element("p", f"{standing}; {layout.interval(row.mean, row.half_width)} %", class_="meta"),
            element("p", f"{row.distribution}, version {row.method_version}{_basis(row)}", class_="meta"),
            _command(row),
            _seeds(table, row),
        ),
        id=identity,
        class_="card",
        aria_labelledby=f"{identity}-name",
        data_row=filter_key(row),
    )


def _standing(row: Row) -> str:
    return f"rank {row.rank}" if row.rank is not None else row.unranked


def _basis(row: Row) -> str:
    return "" if row.plain_known else "; the board does not know its plain settings"


def _picture(row: Row) -> Markup:
    if row.thumbnail is None:
        return element("div", "no sample images", class_="picture none")
    return element(
        "img",
        src=path_in_board(row.thumbnail),
        alt=f"Sample images of {shortened(row.method)}",
        class_="picture",
        width=134,
        height=134,
        loading="lazy",
        decoding="async",
    )


def _command(row: Row) -> Markup:
    """The command to copy; the whole of a very long one is in data.json."""
    cut = len(row.command) > _LONGEST_COMMAND
    words = _FLAG.split(row.command[:_LONGEST_COMMAND])
    command = element("code", joined((element("span", word) for word in words), " "))
    rest = element("p", "The rest of it is in data.json.") if cut else None
    label = f"Command that makes {shortened(row.method)} again"
    return element("div", element("pre", command), rest, class_="command", role="group", aria_label=label)


def _seeds(table: Table, row: Row) -> Markup:
    columns = [
        numbers("Seed"),
        numbers("Accuracy %", "descending"),
        numbers("Best on test %", "descending"),
        Column("Verified"),
        Column("Isolation"),
        Column("Hardware"),
        Column("Device"),
        Column("Finished"),
        Column("Record", first=None),
    ]
    finished: list[list[Child]] = [
        [
            score.seed,
            layout.number(score.accuracy),
            layout.number(score.oracle),
            score.verified,
            score.isolation,
            score.hardware,
            score.device,
            score.finished_at[:10],
            _record(score.run_id),
        ]
        for score in row.scores[:_MOST_SEEDS]
    ]
    failed: list[list[Child]] = [
        [failure.seed, failure.status, *[layout.NOTHING] * 6, _record(failure.run_id)]
        for failure in row.failures[:_MOST_SEEDS]
    ]
    every = len(row.scores) + len(row.failures)
    left = every - len(finished) - len(failed)
    caption = f"Seeds of {shortened(row.method)}" + (f"; {left:,} more are in data.json" if left else "")
    title = f"{every} seeds" if every > 1 else "1 seed"
    return folded(title, plain_table(f"{row_id(table, row)}-seeds", caption, columns, [*finished, *failed]))


def _record(run_id: str) -> Markup:
    address = path_in_board(f"{FOLDER}/{run_id}/{RESULT}")
    return element("a", joined([element("code", run_id[-12:])]), href=address, aria_label=f"Record of run {run_id}")

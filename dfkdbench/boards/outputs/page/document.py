"""The whole page of a board: one HTML file with its style and script inside, the same for the same board."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence

from dfkdbench.boards.model import Board, Table
from dfkdbench.boards.outputs import layout
from dfkdbench.boards.outputs.page.cards import cards
from dfkdbench.boards.outputs.page.costs import costs
from dfkdbench.boards.outputs.page.curves import curves
from dfkdbench.boards.outputs.page.findings import claims, effects, failures
from dfkdbench.boards.outputs.page.leagues import Look, looks_of
from dfkdbench.boards.outputs.page.markup import Markup, element, joined, raw
from dfkdbench.boards.outputs.page.opening import contents, filters, opening
from dfkdbench.boards.outputs.page.palette import league_classes, variables
from dfkdbench.boards.outputs.page.ranking import ranking
from dfkdbench.boards.outputs.page.tables import lines
from dfkdbench.places import assets_folder

LARGEST = 1_000_000
"""Bytes that a page may have; pictures are files of their own."""

_MOST_ROWS = (None, 200, 100, 60, 30, 10)
"""How many rows of a league are shown: the first of these with which the page is not too large."""

_LEAST_OF_A_ROW = 2500
"""Bytes that a row takes at least, so that a page that can't fit is not even tried."""

_MOST_LEFT_OUT = 50
_FILES = ("README.md", "results.csv", "results.tex", "data.json", "leaderboard.toml")


def page(board: Board) -> str:
    """A board's page.

    Of a board too large for `LARGEST` bytes it shows the best rows of each league, and says how many more there are.
    """
    for most in _MOST_ROWS:
        shown = [_fewer(table, most) for table in board.tables]
        if sum(len(table.rows) for table in shown) * _LEAST_OF_A_ROW > LARGEST and most != _MOST_ROWS[-1]:
            continue
        text = _document(board, shown)
        if len(text.encode()) <= LARGEST:
            break
    return text


def _document(board: Board, shown: Sequence[Table]) -> str:
    """The page of a board with its tables as far as they are shown."""
    looks = looks_of(board)
    style = variables() + league_classes() + _asset("board.css")
    script = _asset("board.js")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", board.title),
        element("link", rel="icon", href=_icon()),
        raw("style", style),
        raw("script", script),
    )
    main = element(
        "main",
        contents(board),
        filters(board),
        *(_section(table, less, looks, board.minimum_seeds) for table, less in zip(board.tables, shown, strict=True)),
        _left_out(board),
        id="tables",
    )
    body = element(
        "body", element("a", "Skip to the tables", href="#tables", class_="skip"), opening(board), main, _closing(board)
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _section(table: Table, shown: Table, looks: Mapping[str, Look], minimum_seeds: int) -> Markup:
    """Everything about a cell and tier.

    Args:
        shown: What of the table is shown.
    """
    where = f"{table.dataset}, {table.budget.name}"
    return element(
        "section",
        element("h2", element("code", table.pair), " ", element("small", where), id=f"{table.key}-title"),
        lines(_facts(table), class_="facts"),
        ranking(shown, looks, minimum_seeds, len(table.rows) - len(shown.rows)),
        curves(shown, looks),
        costs(shown, looks),
        effects(shown, looks),
        cards(shown, looks),
        failures(shown),
        claims(shown, len(table.claims) - len(shown.claims)),
        id=table.key,
        class_="cell",
        aria_labelledby=f"{table.key}-title",
        data_pair=f"{table.dataset} {table.pair}",
        data_budget=table.budget.name,
    )


def _fewer(table: Table, most: int | None) -> Table:
    """A table with at most so many rows of each league, controls, effects and claims."""
    if most is None:
        return table
    rankings = tuple(each.model_copy(update={"rows": each.rows[:most]}) for each in table.rankings)
    shorter = {"controls": table.controls[:most], "effects": table.effects[:most], "claims": table.claims[:most]}
    return table.model_copy(update={"rankings": rankings, **shorter})


def _facts(table: Table) -> Iterator[Markup]:
    if not table.pinned:
        yield joined(["Not pinned yet: no teacher, and so no entry."])
    elif not table.rows:
        yield joined(["No entry yet."])
    for teacher in table.teachers:
        fingerprint = element("code", teacher.sha256[:12])
        yield joined([f"Teacher {teacher.name}: {teacher.accuracy:.2f} %, sha256 ", fingerprint])
    if table.budget.student_samples:
        budget = table.budget
        yield joined([f"Budget: {budget.student_samples:,} student samples, {budget.evaluations} evaluations"])
    if table.rows:
        hardware = layout.hardware(table.rows)
        yield joined([f"Hardware: {hardware[0] if len(hardware) == 1 else 'differs, see the rows'}"])
        if table.absent_controls:
            yield joined([f"Controls not run: {', '.join(table.absent_controls)}"])


def _left_out(board: Board) -> Markup | None:
    if not board.left_out:
        return None
    items = [joined([element("code", found.entry), ": ", found.message]) for found in board.left_out[:_MOST_LEFT_OUT]]
    more = len(board.left_out) - len(items)
    if more:
        items.append(joined([f"and {more:,} more; dfkdbench leaderboard check lists them"]))
    return element("section", element("h2", "Left out"), lines(items), class_="left-out")


def _closing(board: Board) -> Markup:
    links = [element("a", name, href=f"./{name}") for name in _FILES]
    made = (
        "Built by dfkdbench leaderboard build from leaderboard.toml, entries and methods; the same files give the same "
        "page."
    )
    return element("footer", element("p", made), element("p", "The same as files: ", joined(links, ", ")))


def _policy(style: str, script: str) -> str:
    """What the browser may load: this style and this script, pictures of the board's folder, and nothing else."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _icon() -> str:
    """Three steps, as a data address; without one a browser asks the host for a file."""
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
        '<path fill="#0a58b8" d="M1 9h4v6H1zM6 2h4v13H6zM11 6h4v9h-4z"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode()


def _asset(name: str) -> str:
    return (assets_folder() / "page" / name).read_text(encoding="utf-8")

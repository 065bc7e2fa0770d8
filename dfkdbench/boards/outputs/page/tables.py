"""Tables with captions, scopes and a box of their own to scroll in; the script makes them sortable by `data-sort`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Literal

from dfkdbench.boards.outputs.page.markup import Attribute, Child, Markup, element, joined

Order = Literal["ascending", "descending"]


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        number: Whether its figures are sorted and aligned as numbers.
        first: The order that a first click gives; None for a column that can't be sorted.
        group: Columns that follow each other with one group have a common heading.
        sorted_as: How the table is sorted by it as it comes.
        note: More about it than fits the heading.
    """

    name: str
    number: bool = False
    first: Order | None = "ascending"
    group: str = ""
    sorted_as: Order | None = None
    note: Child = None


def numbers(name: str, best: Order = "ascending", group: str = "") -> Column:
    """A column of numbers, the best of which is the lowest ("ascending") or the highest."""
    return Column(name, number=True, first=best, group=group)


def text_cell(content: Child, **attributes: Attribute) -> Markup:
    """A cell."""
    return element("td", content, **attributes)


def number_cell(content: Child, value: float | None = None) -> Markup:
    """A cell of numbers; `value` sorts where the content does not start with its number."""
    return element("td", content, class_="number", data_value=None if value is None else f"{value:.6g}")


def header_cell(content: Child) -> Markup:
    """The cell that names its row."""
    return element("th", content, scope="row")


def body_row(cells: Iterable[Child], **attributes: Attribute) -> Markup:
    """A row."""
    return element("tr", *cells, **attributes)


def scrolling_table(
    identity: str, caption: Child, columns: Sequence[Column], bodies: Sequence[Child], kind: str = "plain"
) -> Markup:
    """A table in a box that scrolls by itself and can be reached with the keyboard.

    Args:
        identity: Id of the caption; unique in the page.
        bodies: Its `tbody` elements; sorting never moves a row to another one.
    """
    whole = element(
        "table",
        element("caption", element("span", caption), id=identity),
        *_headings(columns),
        *bodies,
        class_=kind,
    )
    return element("div", whole, class_="scroll", role="region", tabindex=0, aria_labelledby=identity)


def plain_table(
    identity: str,
    caption: Child,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Child]],
    keys: Iterable[str | None] = (),
) -> Markup:
    """A table of one body whose first cells name their rows.

    Args:
        keys: Which row of the board each is about, where filters should act on it.
    """
    body = [
        body_row(
            (header_cell(cell) if index == 0 else _cell(columns[index], cell) for index, cell in enumerate(row)),
            data_row=key,
        )
        for row, key in zip(rows, chain(keys, repeat(None)), strict=False)
    ]
    return scrolling_table(identity, caption, columns, [element("tbody", *body)])


def folded(summary: Child, *content: Child) -> Markup:
    """Content that is shown on demand, without a script."""
    return element("details", element("summary", summary), *content)


def _cell(column: Column, content: Child) -> Markup:
    return number_cell(content) if column.number else text_cell(content)


def _headings(columns: Sequence[Column]) -> Iterable[Markup]:
    groups = _groups(columns)
    if any(name for name, _ in groups):
        yield from (element("colgroup", span=len(found)) for _, found in groups)
        over = [
            element("th", name, scope="colgroup", colspan=len(found)) if name else element("td", colspan=len(found))
            for name, found in groups
        ]
        heads = [element("tr", *over, class_="groups"), element("tr", *map(_heading, columns))]
    else:
        heads = [element("tr", *map(_heading, columns))]
    yield element("thead", *heads)


def _groups(columns: Sequence[Column]) -> list[tuple[str, list[Column]]]:
    groups: list[tuple[str, list[Column]]] = []
    for column in columns:
        if not groups or groups[-1][0] != column.group:
            groups.append((column.group, []))
        groups[-1][1].append(column)
    return groups


def _heading(column: Column) -> Markup:
    return element(
        "th",
        element("span", column.name) if column.first else column.name,
        column.note,
        scope="col",
        class_="number" if column.number else None,
        data_sort=("number" if column.number else "text") if column.first else None,
        data_first=column.first if column.first == "descending" else None,
        aria_sort=column.sorted_as,
    )


def lines(items: Iterable[Child], **attributes: Attribute) -> Markup:
    """A list."""
    return element("ul", *(element("li", item) for item in items), **attributes)


def description(pairs: Iterable[tuple[Child, Child]], **attributes: Attribute) -> Markup:
    """Terms and what they are, each pair in a box of its own."""
    boxes = (element("div", element("dt", term), element("dd", what)) for term, what in pairs)
    return element("dl", joined(boxes), **attributes)

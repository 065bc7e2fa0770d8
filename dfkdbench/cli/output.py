"""How commands print: aligned tables for people, JSON for programs, remarks on standard error."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from tabulate import tabulate

_NARROWEST_TEXT = 24


def print_json(value: Any) -> None:
    """Prints indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_remark(text: str) -> None:
    """Prints a line that is no part of the answer."""
    click.echo(text, err=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], wrap_last: bool = False) -> None:
    """Prints an aligned table, one line a row.

    On a terminal the last column is cut to the width, or wrapped where `wrap_last`; elsewhere it is whole.
    """
    room = _room_for_last(columns, rows) if _on_terminal() else None
    limits: list[int | None] | None = None
    if room is not None and wrap_last:
        limits = [*[None] * (len(columns) - 1), room]
    elif room is not None:
        rows = [[*row[:-1], _cut(row[-1], room)] for row in rows]
    click.echo(tabulate(rows, headers=columns, tablefmt="simple", disable_numparse=True, maxcolwidths=limits))


def names(values: Iterable[str]) -> str:
    """Names in one cell of a table."""
    return ", ".join(values) or "-"


def in_one_line(value: Any) -> str:
    """A value as users write it after `--set key=`."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def print_facts(facts: Mapping[str, str], indent: str = "  ") -> None:
    """Prints named values below each other; empty ones are left out."""
    shown = {name: value for name, value in facts.items() if value}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        click.echo(f"{indent}{name:<{width}}  {value}")


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _room_for_last(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Characters that the other columns leave to the last one on this terminal."""
    titles = [f"{column}  " for column in columns]  # tabulate leaves two spaces more behind a title
    taken = sum(max(len(row[index]) for row in (titles, *rows)) + 2 for index in range(len(columns) - 1))
    return max(shutil.get_terminal_size().columns - taken, _NARROWEST_TEXT)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 3].rstrip()}..."

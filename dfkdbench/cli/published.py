"""`dfkdbench published`: what papers claim, with the source of each figure."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from dfkdbench.cli.output import print_facts, print_json, print_remark, print_table
from dfkdbench.errors import unknown_name
from dfkdbench.published import (
    SEPARATOR,
    Figure,
    Source,
    Spread,
    disagreements,
    load_figures,
    load_sources,
)

Row = dict[str, Any]

_NAMES_OF: dict[str, Callable[[Figure], Sequence[str]]] = {
    "dataset": lambda figure: [figure.dataset],
    "pair": lambda figure: [figure.pair],
    "method": lambda figure: [figure.method, *figure.reported_method.split(SEPARATOR)],
    "paper": lambda figure: [figure.paper],
}
"""What a figure answers to, by filter; the first name is the one that lists show."""

_KIND_OF = {"datasets": "dataset", "pairs": "pair", "methods": "method", "papers": "paper"}
_PLURAL = {kind: plural for plural, kind in _KIND_OF.items()}
_TITLES = {"dataset": "data set", "pair": "pair", "method": "method", "paper": "paper"}
_CLAIMS = {"own": "own method", "other": "other's method", "reference": "reference"}


@click.command()
@click.option("--dataset", help="Only figures of this data set.")
@click.option("--pair", metavar="TEACHER:STUDENT", help="Only figures of this pair.")
@click.option("--method", help="Only figures of this method, by its name here or in the source.")
@click.option("--paper", help="Only figures from this source.")
@click.option("--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option("--list", "listed", type=click.Choice(list(_KIND_OF)), help="List what there are figures of instead.")
def published(
    dataset: str | None, pair: str | None, method: str | None, paper: str | None, style: str, listed: str | None
) -> None:
    """Show figures that papers claim: who reports them, where, of which epoch, with which teacher.

    They are claims and never ranked with measurements. A range stands beside figures of cells (one method, data set,
    pair and setting) in which two sources are more than a point apart. csv and json have every field.
    """
    figures, sources = load_figures(), load_sources()
    spreads = disagreements(figures)
    chosen = figures
    for kind, given in (("dataset", dataset), ("pair", pair), ("method", method), ("paper", paper)):
        if given is not None:
            matching = _matching(figures, kind, given)
            chosen = [figure for figure in chosen if figure in matching]
    if listed is not None:
        _print_list(chosen, _KIND_OF[listed], sources, style)
    elif style == "table":
        _print_figures(chosen, spreads, sources, hidden={"data set": dataset, "pair": pair})
    else:
        _print_rows([_row(figure, spreads.get(figure), sources) for figure in chosen], _columns(), style)
    if not chosen:
        print_remark("No published figure is of all of these.")


def _matching(figures: Sequence[Figure], kind: str, given: str) -> set[Figure]:
    """The figures that answer to a name, in any case.

    Raises:
        UnknownNameError: None does.
    """
    names_of = _NAMES_OF[kind]
    wanted = given.casefold()
    matching = {figure for figure in figures if wanted in (name.casefold() for name in names_of(figure))}
    if not matching:
        known = {names_of(figure)[0] for figure in figures}
        raise unknown_name(
            f"{_TITLES[kind]} of published figures", given, known, f"dfkdbench published --list {_PLURAL[kind]}"
        )
    return matching


def _columns() -> list[str]:
    fields = [field.name for field in dataclasses.fields(Figure)]
    after_student = fields.index("student") + 1
    return [*fields[:after_student], "pair", *fields[after_student:], "range_low", "range_high", "reference"]


def _row(figure: Figure, spread: Spread | None, sources: Mapping[str, Source]) -> Row:
    """Every field of a figure, the range of a cell whose sources disagree, and who the source is."""
    more = {
        "pair": figure.pair,
        "range_low": spread.low if spread else None,
        "range_high": spread.high if spread else None,
        "reference": sources[figure.paper].reference,
    }
    values = dataclasses.asdict(figure) | more
    return {column: values[column] for column in _columns()}


def _print_rows(rows: list[Row], columns: Sequence[str], style: str) -> None:
    if style == "json":
        print_json(rows)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    click.echo(text.getvalue(), nl=False)


def _print_figures(
    figures: Sequence[Figure],
    spreads: Mapping[Figure, Spread],
    sources: Mapping[str, Source],
    hidden: Mapping[str, str | None],
) -> None:
    """A table, the sources that it names, and how much of it is disputed; without columns that a filter has fixed."""
    if not figures:
        return
    rows = [_shown(figure, spreads.get(figure)) for figure in figures]
    columns = [column for column in rows[0] if not hidden.get(column)]
    print_table(columns, [[row[column] for column in columns] for row in rows])
    click.echo("\nReported by")
    print_facts({paper: sources[paper].reference for paper in sorted({figure.paper for figure in figures})})
    disputed = [figure for figure in figures if figure in spreads]
    print_remark(f"Figures: {len(figures)}. In cells where two sources are more than a point apart: {len(disputed)}.")


def _shown(figure: Figure, spread: Spread | None) -> dict[str, str]:
    code = f" (code: {figure.code_epoch})" if figure.code_epoch else ""
    by = figure.paper if figure.kind != "reproduction" else f"{figure.paper} (reproduction)"
    return {
        "method": figure.method,
        "setting": figure.setting or "-",
        "data set": figure.dataset,
        "pair": figure.pair,
        "metric": figure.metric,
        "value": f"{figure.value:.2f}",
        "epoch": f"{figure.epoch or '-'}{code}",
        "teacher %": "-" if figure.teacher_accuracy is None else f"{figure.teacher_accuracy:.2f}",
        "seeds": str(figure.seeds or "-"),
        "range": f"{spread.low:.2f} to {spread.high:.2f}" if spread else "-",
        "claim": _CLAIMS[figure.claim],
        "reported by": by,
        "where": figure.locator,
    }


def _print_list(figures: Sequence[Figure], kind: str, sources: Mapping[str, Source], style: str) -> None:
    """Names of one kind with the number of figures of each."""
    counts = Counter(_NAMES_OF[kind](figure)[0] for figure in figures)
    rows: list[Row] = [{kind: name, "figures": count} for name, count in sorted(counts.items())]
    columns = [kind, "figures"]
    if kind == "paper":
        columns.append("reference")
        rows = [row | {"reference": sources[row["paper"]].reference} for row in rows]
    if style == "table":
        print_table(
            [_TITLES.get(column, column) for column in columns], [[str(row[key]) for key in columns] for row in rows]
        )
    else:
        _print_rows(rows, columns, style)

"""`dfkdbench leaderboard`: make, build, check, compare, merge and migrate boards."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfkdbench.cli.output import print_json, print_remark, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dfkdbench.boards.difference import Change
    from dfkdbench.boards.entries import Problem

_BOARD = click.argument("board", metavar="DIR", type=click.Path(path_type=Path))


@click.group()
def leaderboard() -> None:
    """Make, build, check, merge and compare leaderboards.

    A board is a folder: rules in leaderboard.toml, one folder a run in entries/, and what `build` makes of them.
    """


@leaderboard.command()
@_BOARD
@click.option("--dataset", required=True, help="Data set; see `dfkdbench list datasets`.")
@click.option("--pair", "pairs", multiple=True, metavar="TEACHER:STUDENT", help="A pair; all suggested ones otherwise.")
@click.option("--budget", "budgets", multiple=True, metavar="TIER", help="A tier; the data set's default otherwise.")
@click.option(
    "--teachers", default=1, show_default=True, type=click.IntRange(1, 64), help="Teachers of a run (seeds 0, 1, ...)."
)
@click.option("--pages", is_flag=True, help="Also write a workflow that checks and publishes it on GitHub Pages.")
def init(
    board: Path, dataset: str, pairs: tuple[str, ...], budgets: tuple[str, ...], teachers: int, pages: bool
) -> None:
    """Make DIR a board. Teachers that are at hand are pinned; other cells take no entry before theirs are."""
    from dfkdbench.boards.scaffold import propose, write_board, write_workflow
    from dfkdbench.registry import load_registry
    from dfkdbench.teachers.store import TeacherStore

    registry = load_registry()
    spec = registry.datasets.get(dataset).item
    name = board.resolve().name
    definition = propose(name, spec, registry, TeacherStore.default(), pairs, budgets, teachers)
    write_board(board, definition)
    click.echo(f"Wrote {board / 'leaderboard.toml'} with {len(definition.cells)} cell(s).")
    for cell in definition.cells:
        if cell.is_open:
            teacher = cell.pair.partition(":")[0]
            print_remark(
                f"{cell.title} is not pinned: train its teacher (dfkdbench teacher train --dataset {dataset} --arch "
                f"{teacher}), and take its sha256, accuracy and test_fingerprint over from its teacher.json."
            )
    if pages:
        click.echo(f"Wrote {write_workflow(board)}. Choose GitHub Actions as the source of Pages in the settings.")


@leaderboard.command()
@_BOARD
def build(board: Path) -> None:
    """Write DIR's page (index.html) and tables (README.md, results.csv, results.tex, data.json).

    They are made of its rules and entries alone: the same entries give the same bytes. Entries that don't hold are left
    out, and told. The page needs no server: open it in a browser, or publish the folder.
    """
    from dfkdbench.boards.writing import build as build_board

    built = build_board(board)
    for found in built.left_out:
        print_remark(f"Left out: {found.entry}: {found.message}")
    rows = sum(len(table.rows) for table in built.tables)
    click.echo(f"Built {board}: {built.entries} entries, {rows} rows in {len(built.tables)} table(s).")


@leaderboard.command()
@_BOARD
@click.option("--outputs", is_flag=True, help="Also check that the built files are those of these entries.")
def check(board: Path, outputs: bool) -> None:
    """Check every entry of DIR: one line for each that does not hold, and exit status 1 where there is one."""
    from dfkdbench.boards.assembly import all_problems, assemble, read_contents
    from dfkdbench.boards.claims import Literature
    from dfkdbench.boards.writing import stale_outputs

    contents = read_contents(board)
    problems = all_problems(contents, datetime.datetime.now(datetime.UTC))
    _print_problems(problems)
    built = assemble(contents, Literature.packaged())
    stale = stale_outputs(board, built) if outputs else []
    for name in stale:
        click.echo(f"{name}: It is not what these entries give. Run: dfkdbench leaderboard build {board}")
    if problems or stale:
        sys.exit(1)
    click.echo(f"{built.entries} entries hold.")


@leaderboard.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects.")
def diff(old: Path, new: Path, as_json: bool) -> None:
    """Show which rows of the board NEW are not in the board OLD, are gone, or say something else."""
    from dataclasses import asdict

    from dfkdbench.boards.assembly import load_board
    from dfkdbench.boards.difference import differences

    changes = differences(load_board(old), load_board(new))
    if as_json:
        print_json([asdict(change) for change in changes])
        return
    if not changes:
        click.echo("The rows are the same.")
        return
    columns = ("change", "table", "league", "method", "what")
    rows = [[change.kind, change.table, change.league, change.method, _in_words(change)] for change in changes]
    print_table(columns, rows, wrap_last=True)


@leaderboard.command()
@_BOARD
@click.argument("other", type=click.Path(path_type=Path))
def merge(board: Path, other: Path) -> None:
    """Take the entries of the board OTHER into DIR: same protocol, teachers, test sets and budgets, or nothing."""
    from dfkdbench.boards.merging import merge as merge_boards

    done = merge_boards(board, other)
    _print_problems(done.left_out)
    click.echo(f"Took {len(done.added)} entries; {done.present} were there; {len(done.left_out)} were left out.")
    if done.added:
        click.echo(f"Run: dfkdbench leaderboard build {board}")
    if done.left_out:
        sys.exit(1)


@leaderboard.command()
@_BOARD
def migrate(board: Path) -> None:
    """Bring the files of DIR to the formats of today, and add plain settings of installed methods that are missing."""
    from dfkdbench.boards.migration import migrate as migrate_board
    from dfkdbench.registry import load_registry

    done = migrate_board(board, load_registry())
    _print_problems(done.problems)
    for name in done.unknown:
        print_remark(f"methods/{name} stays missing: this method, or this version of it, is not installed.")
    click.echo(f"Rewrote {len(done.rewritten)} record(s), added {len(done.methods)} file(s) of plain settings.")


def _print_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        click.echo(f"{problem.entry}: {problem.message}")


def _in_words(change: Change) -> str:
    return "; ".join(f"{name} {_short(before)} -> {_short(after)}" for name, (before, after) in change.fields.items())


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return "-" if value in (None, "") else str(value)

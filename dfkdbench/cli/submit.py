"""`dfkdbench submit`: finished runs onto a leaderboard."""

from __future__ import annotations

import datetime
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfkdbench.cli.output import print_remark
from dfkdbench.errors import DataError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dfkdbench.boards.submission import Submitted


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--leaderboard", "board", metavar="DIR", required=True, type=click.Path(path_type=Path), help="The board's folder."
)
def submit(runs: tuple[Path, ...], board: Path) -> None:
    """Check finished runs and copy their plan and record onto a leaderboard; then say what to do with git.

    A run that does not hold, or that the board does not take, is told with the reason and stops none of the others.
    """
    from dfkdbench.boards.admission import admit
    from dfkdbench.boards.definition import read_definition
    from dfkdbench.boards.entries import scan_entries
    from dfkdbench.boards.submission import submit_run
    from dfkdbench.registry import load_registry

    definition, registry = read_definition(board), load_registry()
    entries, problems = scan_entries(board)
    standing, refused = admit(definition, entries, datetime.datetime.now(datetime.UTC))
    if problems or refused:
        left_out = len(problems) + len(refused)
        print_remark(f"{left_out} entries of the board do not hold; see: dfkdbench leaderboard check {board}")
    done: list[Submitted] = []
    for run in dict.fromkeys(runs):
        try:
            done.append(submit_run(run, board, standing, registry))
        except (DataError, IntegrityError) as error:
            click.echo(f"Refused {run}: {error.message}", err=True)
            continue
        click.echo(f"{'Submitted' if done[-1].new else 'It was there already:'} {done[-1].run_id}")
        for remark in done[-1].remarks:
            print_remark(remark)
    if any(submitted.new for submitted in done):
        _print_git_steps(board, done)
    if len(done) < len(set(runs)):
        sys.exit(1)


def _print_git_steps(board: Path, done: Sequence[Submitted]) -> None:
    """What is left to do, as commands for a shell."""
    new = [submitted for submitted in done if submitted.new]
    branch = f"submit-{new[0].run_id}" if len(new) == 1 else f"submit-{new[0].run_id}-and-{len(new) - 1}-more"
    paths = sorted({str(path) for submitted in new for path in submitted.paths})
    message = f"Submit {new[0].run_id}" if len(new) == 1 else f"Submit {len(new)} runs"
    click.echo("\nTo hand it in, in the board's repository:\n")
    steps = (
        ("cd", str(board)),
        ("git", "switch", "-c", branch),
        ("git", "add", *paths),
        ("git", "commit", "-m", message),
        ("git", "push", "-u", "origin", branch),
    )
    for step in steps:
        click.echo(f"    {shlex.join(step)}")
    click.echo("\nThen open a pull request. The board's host builds the tables.")

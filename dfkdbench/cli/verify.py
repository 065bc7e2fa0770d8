"""`dfkdbench verify`: whether records are what they say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfkdbench.cli.output import print_json, print_remark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dfkdbench.runfolder import RunFolder
    from dfkdbench.verification import Check

_LEVELS = ("0", "1", "2", "3")


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--level",
    type=click.Choice(_LEVELS),
    default="1",
    show_default=True,
    help="0: schema and hashes. 1: evaluates the stored student again. 2: repeats a short run judged with the test "
    "set, with noise and not at all. 3: repeats the run.",
)
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder that holds the data set's files.")
@click.option(
    "--leaderboard",
    "board",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A board of yours: notes beside each run's entry how far it was verified.",
)
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def verify(runs: tuple[Path, ...], level: str, data_root: Path | None, board: Path | None, style: str) -> None:
    """Check that run folders are what their records say. Each level includes those below it.

    One line a check; the exit status is 0 where nothing failed, else 1. What each level can and can't detect is in
    docs/verification.md.
    """
    from dfkdbench.cli.console import Console
    from dfkdbench.registry import load_registry
    from dfkdbench.verification import find_run
    from dfkdbench.verification import verify as verify_run
    from dfkdbench.workerprocess import InterruptedRun

    folders = [find_run(run) for run in runs]
    registry, console = load_registry(), Console()
    registry.manager.register(console, name="console")
    found: dict[str, Sequence[Check]] = {}
    try:
        for folder in dict.fromkeys(folders):
            checks = verify_run(folder, int(level), data_root, registry, console)
            found[str(folder.root)] = checks
            if style == "table":
                _print_checks(folder.root, checks)
            if board is not None:
                _vouch(folder, checks, board)
    except InterruptedRun as stop:
        console("Stopped; nothing of the repetition is kept.")
        sys.exit(stop.exit_code)
    finally:
        console.close()
        registry.manager.unregister(console)
    if style == "json":
        print_json([_as_json(run, checks) for run, checks in found.items()])
    if not all(_hold(checks) for checks in found.values()):
        sys.exit(1)


def _vouch(folder: RunFolder, checks: Sequence[Check], board: Path) -> None:
    from dfkdbench.boards.vouching import vouch
    from dfkdbench.verification import reached

    level = reached(checks) if _hold(checks) else None
    if level is None:
        print_remark(f"Nothing is noted of {folder.root.name} in {board}: no level holds.")
        return
    print_remark(f"{board} says {vouch(folder, level, board)} of {folder.root.name}.")


def _hold(checks: Sequence[Check]) -> bool:
    return all(check.holds is not False for check in checks)


def _print_checks(root: Path, checks: Sequence[Check]) -> None:
    """A heading, one line a check, and what came out."""
    failed = sum(check.holds is False for check in checks)
    skipped = sum(check.holds is None for check in checks)
    width = max(len(check.name) for check in checks)
    click.echo(f"{root}")
    for check in checks:
        reason = " ".join(check.reason.split())
        click.echo(f"  L{check.level}  {check.outcome:<7}  {check.name:<{width}}  {reason}")
    outcome = f"{failed} of {len(checks)} checks failed" if failed else f"{len(checks) - skipped} checks hold"
    click.echo(f"  {outcome}{f', {skipped} skipped' if skipped else ''}")


def _as_json(run: str, checks: Sequence[Check]) -> dict[str, object]:
    rows = [
        {"level": check.level, "name": check.name, "outcome": check.outcome.lower(), "reason": check.reason}
        for check in checks
    ]
    return {"run": run, "holds": _hold(checks), "checks": rows}

"""`dfkdbench plugin`: what is installed, whether it conforms, and a new one to start from."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dfkdbench.cli.listing import plugin_rows, show_rows
from dfkdbench.cli.output import print_json, print_remark, print_table
from dfkdbench.newplugin import KINDS, plan_plugin, write_plugin
from dfkdbench.registry import crash_log, load_registry


@click.group()
def plugin() -> None:
    """List plugins, check that they conform, and write new ones."""


@plugin.command("list")
@click.option("--retry", is_flag=True, help="First forget which plugins end the process that imports them.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects.")
def list_plugins(retry: bool, as_json: bool) -> None:
    """List what is installed: distribution, version, parts, API, status with its reason, seconds to import."""
    if retry:
        print_remark(f"{crash_log().forget()} crashed plugins are tried again.")
    show_rows(plugin_rows(load_registry()), as_json)


@plugin.command()
@click.argument("name")
@click.option("--kind", default="method", show_default=True, help=f"One of {', '.join(KINDS)}.")
@click.option(
    "--into", type=click.Path(path_type=Path), default=Path(), help="Folder to write into; the current one otherwise."
)
def new(name: str, kind: str, into: Path) -> None:
    """Write a distribution dfkdbench-NAME to start from: a working part, its options, tests, a workflow, a licence."""
    planned = plan_plugin(name, kind, load_registry())
    folder = write_plugin(planned, into)
    click.echo(f"Wrote {folder}, a {kind} that works as it is. Next:")
    where = folder if folder.is_absolute() else f"./{folder}"
    click.echo(f"  pip install {where}")
    click.echo(f"  dfkdbench plugin check {planned.name}")
    click.echo(f"  {planned.command}")


@plugin.command()
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("--check", "only", metavar="CHECK", help="Make this check alone, and those that it counts on.")
@click.option("--list", "list_checks", is_flag=True, help="List the checks and stop.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder that holds a data set's files.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects.")
def check(names: tuple[str, ...], only: str | None, list_checks: bool, data_root: Path | None, as_json: bool) -> None:
    """Check that NAME conforms: a method, part, data set or model, or all of a distribution.

    One line a check. The exit status is 0 where nothing failed, else 1.
    """
    if list_checks:
        _list_checks(as_json)
        return
    if not names:
        raise click.UsageError("Missing argument 'NAME...'. See what there is with: dfkdbench plugin list")
    from dfkdbench.conformance import examinations_of
    from dfkdbench.conformance.examination import check_of

    if only is not None:
        check_of(only)
    rows = []
    for examination in [one for name in names for one in examinations_of(name, data_root)]:
        if not as_json:
            click.echo(f"{examination.subject} ({examination.subject.owned.distribution})")
        for outcome in examination.outcomes(only):
            row = {"kind": examination.subject.kind, "name": examination.subject.spelling, **vars(outcome)}
            rows.append(row)
            if not as_json:
                click.echo(f"  {outcome.result:<14}  {outcome.check:<13}  {outcome.reason}")
    if as_json:
        print_json(rows)
    if not rows:
        print_remark(f"The check '{only}' is for none of these kinds. See: dfkdbench plugin check --list")
    failed = sum(row["result"] == "FAIL" for row in rows)
    if failed:
        print_remark(f"{failed} of {len(rows)} checks failed.")
        sys.exit(1)


def _list_checks(as_json: bool) -> None:
    from dfkdbench.conformance.catalogue import CHECKS

    rows = [
        {
            "check": one.name,
            "kinds": sorted(one.kinds),
            "after": list(one.after),
            "holds": one.holds,
            "remedy": one.remedy,
        }
        for one in CHECKS
    ]
    if as_json:
        print_json(rows)
        return
    print_table(("check", "for", "holds"), [[one.name, ", ".join(sorted(one.kinds)), one.holds] for one in CHECKS])

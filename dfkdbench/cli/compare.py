"""`dfkdbench compare`: what the records of several seeds say about methods, cell by cell and over cells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfkdbench.cli.output import print_json, print_remark
from dfkdbench.errors import ComparisonError, ConfigError, IntegrityError, unknown_name

if TYPE_CHECKING:
    from dfkdbench.statistics.cells import Group, Record
    from dfkdbench.statistics.comparison import Comparison


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--baseline", metavar="METHOD", help="Compare with this method; with the best of each cell otherwise.")
@click.option("--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option(
    "--diagram",
    type=click.Path(path_type=Path),
    metavar="FILE.svg",
    help="Write the critical-difference diagram; needs 8 or more tasks (data set and pair).",
)
def compare(runs: tuple[Path, ...], baseline: str | None, style: str, diagram: Path | None) -> None:
    """Compare the methods recorded in RUNS: folders of runs, or single run folders; `runs` where none is given.

    Accuracies are in percent, at the end of the declared budget; no other figure is compared. Records of different
    protocols, budgets or leagues are never compared. Where a cell holds several settings of a method, each
    stands for itself as METHOD#SETTINGS, as `dfkdbench results --by cell` names them.
    """
    from dfkdbench.cli import comparison_output as output
    from dfkdbench.statistics.cells import group_records
    from dfkdbench.statistics.comparison import compare as compare_group

    if diagram is not None:
        _check_target(diagram)
    roots = runs or (Path("runs"),)
    groups = group_records(_read_all(roots))
    if not groups:
        raise ComparisonError(f"There is no record to compare in {', '.join(map(str, roots))}.")
    _check_baseline(groups, baseline)
    compared = [compare_group(group, baseline) for group in groups]
    reports = [output.report(comparison, baseline) for comparison in compared]
    if style == "json":
        print_json(reports)
    elif style == "csv":
        output.print_csv(reports)
    else:
        output.print_tables(reports)
    if diagram is not None:
        _write_diagrams(compared, diagram)


def _read_all(roots: tuple[Path, ...]) -> list[Record]:
    """The records of every folder; those that can't be read and those that are not there yet are told."""
    from dfkdbench.cli.results import report_unfinished
    from dfkdbench.records import find_results, read_result, settings_of
    from dfkdbench.runfolder import RESULT_FILE
    from dfkdbench.statistics.cells import Record

    records = []
    for root in roots:
        if (root / RESULT_FILE).exists() or (root / "plan.json").exists():
            try:
                records.append(Record(read_result(root / RESULT_FILE), root, settings_of(root)))
            except IntegrityError as error:
                print_remark(f"Left out: {error.message}")
            continue
        results, problems = find_results(root)
        for problem in problems:
            print_remark(f"Left out: {problem}")
        report_unfinished(root)
        records += [Record(result, root / result.run_id, settings_of(root / result.run_id)) for result in results]
    return records


def _check_baseline(groups: list[Group], baseline: str | None) -> None:
    """Refuses a baseline that no group has.

    Raises:
        ConfigError: Every cell has several settings of it.
        UnknownNameError: With the nearest of the methods that there are.
    """
    known = {method for group in groups for method in group.methods}
    if baseline is None or baseline in known:
        return
    variants = sorted(method for method in known if method.startswith(f"{baseline}#"))
    if variants:
        raise ConfigError(f"There are several settings of '{baseline}'. Give one of: {', '.join(variants)}.")
    raise unknown_name("method", baseline, known, "dfkdbench results --by cell")


def _check_target(path: Path) -> None:
    """Refuses before any work what could not be written after it.

    Raises:
        ConfigError: Another ending than .svg, a folder, or a folder that is not there.
    """
    if path.suffix.lower() != ".svg":
        raise ConfigError(
            f"--diagram writes SVG: give a file that ends in .svg, such as {path.stem}.svg, not '{path}'."
        )
    if path.is_dir():
        raise ConfigError(f"--diagram takes a file; '{path}' is a folder.")
    if not path.parent.is_dir():
        raise ConfigError(f"There is no folder '{path.parent}' to write {path.name} into.")


def _write_diagrams(compared: list[Comparison], path: Path) -> None:
    """One diagram for each group with ranks; where there are several, their names say which.

    Raises:
        ComparisonError: No group allows one, with each one's reason.
    """
    from dfkdbench.cli.comparison_output import name_of
    from dfkdbench.files import write_atomically
    from dfkdbench.statistics.diagram import critical_difference_svg

    ranked = [(comparison.group.key, comparison.ranks) for comparison in compared if comparison.ranks is not None]
    if not ranked:
        reasons = " ".join(f"({name_of(found.group.key)}) {found.refusal}" for found in compared)
        raise ComparisonError(f"No diagram is drawn. {reasons}")
    for key, ranks in ranked:
        ending = re.sub(r"[^A-Za-z0-9.+-]", "_", "-".join(key))
        target = path if len(ranked) == 1 else path.with_name(f"{path.stem}-{ending}{path.suffix}")
        write_atomically(target, critical_difference_svg(ranks, f"Average ranks of accuracy: {name_of(key)}"))
        print_remark(f"Wrote {target}: {name_of(key)}")

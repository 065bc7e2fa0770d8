"""`dfkdbench sensitivity`: one run for each setting and factor around the preset, and what they say together."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfkdbench.cli.output import print_remark
from dfkdbench.cli.run import execute_shown
from dfkdbench.errors import DfkdbenchError
from dfkdbench.seeds import parse_seeds

if TYPE_CHECKING:
    from dfkdbench.cli.console import Console
    from dfkdbench.sensitivity.study import Job, PlannedStudy


@click.command()
@click.option("--plugin", "plugins", required=True, multiple=True, help="Method to study; several are compared.")
@click.option("--dataset", required=True, help="Data set; see `dfkdbench list datasets`.")
@click.option("--pair", metavar="TEACHER:STUDENT", help="Architectures; the data set's default pair otherwise.")
@click.option("--seeds", default="0", show_default=True, metavar="LIST", help="Such as 0, 0-2 or 0,3,5-7.")
@click.option("--budget", default="quick", show_default=True, metavar="TIER", help="smoke, quick, standard or paper.")
@click.option(
    "--factors",
    default="0.1,0.3,1,3,10",
    show_default=True,
    metavar="LIST",
    help="Factors on a setting's value; 1, the preset, is always among them.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="KEY",
    help="Study only settings of this key or pattern, such as student.lr or 'losses.*'.",
)
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder that holds the data set's files.")
@click.option(
    "--download", is_flag=True, help="Download missing files into the data root where the data set allows it."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of runs.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of the worker; all cores otherwise.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("sensitivity"),
    show_default=True,
    help="Folder for sensitivity.csv, .json and .svg.",
)
@click.option("--dry-run", is_flag=True, help="Say how many runs it takes, how many are done and what is left; stop.")
def sensitivity(
    plugins: tuple[str, ...],
    seeds: str,
    factors: str,
    only: tuple[str, ...],
    report: Path,
    dry_run: bool,
    **given: Any,
) -> None:
    """Vary every loss weight and learning rate of methods around their preset, one at a time.

    Each run is an ordinary run in --out, with the changed setting in its record. A run with a record, failed ones
    included, is read and not made again, so the same command goes on where it was stopped. The definitions of the
    figures are in docs/sensitivity.md.
    """
    from dfkdbench.bench import Request, prepare
    from dfkdbench.cli.console import Console
    from dfkdbench.sensitivity.grid import parse_factors
    from dfkdbench.sensitivity.study import plan_study

    console = Console()
    chosen = parse_seeds(seeds)
    chosen_factors = parse_factors(factors)
    requests = [Request(plugin=plugin, seeds=chosen, **given) for plugin in dict.fromkeys(plugins)]
    studies = [plan_study(prepare(request, console), chosen_factors, only) for request in requests]
    jobs = [job for seed in chosen for study in studies for job in study.jobs(seed)]
    _say_what_is_left(studies, jobs)
    if dry_run:
        return
    failures = _run_missing(jobs, console)
    _report(studies, jobs, report)
    if failures:
        sys.exit(1)


def _say_what_is_left(studies: list[PlannedStudy], jobs: list[Job]) -> None:
    """How many runs there are and are done, and from the measured ones how long the others will train."""
    from dfkdbench.sensitivity.study import seconds_left

    for study in studies:
        print_remark(f"{study.method}: {len(study.settings)} settings: {', '.join(study.settings)}")
        for variation, reason in study.refused.items():
            print_remark(f"{study.method}: {variation.text} is left out: {reason}")
    left: Counter[str] = Counter()
    measured = defaultdict(list)
    for job in jobs:
        result = job.record()
        if result is None:
            left[job.study.method] += 1
        else:
            measured[job.study.method].append(result.train_seconds)
    time = ""
    if left:
        seconds = seconds_left(left, measured)
        time = "; how long they take is not known before one is done"
        if seconds is not None:
            time = f"; about {seconds / 60:.1f} minutes of training, by those that are done"
    click.echo(f"{len(jobs)} runs, {len(jobs) - left.total()} done, {left.total()} left{time}")


def _run_missing(jobs: list[Job], console: Console) -> int:
    """Makes every run without a record, once; how many of them left none."""
    from dfkdbench.workerprocess import InterruptedRun

    missing = [job for job in jobs if job.record() is None]
    failures = 0
    for number, job in enumerate(missing, 1):
        setting, factor = job.point
        where = f"{setting} x {factor:g}" if setting else "preset"
        console(f"{number} of {len(missing)}: {job.study.method}, {where}, seed {job.seed}")
        try:
            execute_shown(job.plan, job.prepared, console)
        except InterruptedRun as stop:
            console(f"Stopped; {number - 1} of {len(missing)} runs done. The same command goes on.")
            sys.exit(stop.exit_code)
        except DfkdbenchError as error:
            failures += 1
            console(f"no record: {error.message}")
    return failures


def _report(studies: list[PlannedStudy], jobs: list[Job], folder: Path) -> None:
    """Prints the tables and writes the files."""
    from dfkdbench.cli import sensitivity_output as output
    from dfkdbench.sensitivity.study import measure

    runs = [[job for job in jobs if job.study is study] for study in studies]
    measured = [(measure(study, mine), mine) for study, mine in zip(studies, runs, strict=True)]
    told = output.report(measured)
    output.print_tables(told)
    output.write_files([study for study, _ in measured], told, folder)

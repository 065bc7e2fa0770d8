"""`dfkdbench run`: one method on one cell, one sealed run a seed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfkdbench.errors import ConfigError

if TYPE_CHECKING:
    from dfkdbench.bench import Prepared, Request
    from dfkdbench.plan import Plan
    from dfkdbench.records import Result


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from text such as `0`, `0-2` or `0,3,5-7`.

    Raises:
        ConfigError: Anything else.
    """
    seeds: list[int] = []
    try:
        for piece in text.split(","):
            first, _, last = piece.partition("-")
            seeds += range(int(first), int(last or first) + 1)
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"--seeds takes distinct seeds such as 0, 0-2 or 0,3,5-7; given '{text}'.")
    return tuple(seeds)


@click.command()
@click.option("--plugin", required=True, help="Method to run; see `dfkdbench list methods`.")
@click.option("--dataset", required=True, help="Data set; see `dfkdbench list datasets`.")
@click.option("--pair", metavar="TEACHER:STUDENT", help="Architectures; the data set's default pair otherwise.")
@click.option("--seeds", default="0", show_default=True, metavar="LIST", help="Such as 0, 0-2 or 0,3,5-7.")
@click.option("--budget", metavar="TIER", help="smoke, quick, standard or paper; the data set's default otherwise.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a recipe key; see `dfkdbench describe`."
)
@click.option("--config", type=click.Path(path_type=Path), help="TOML file of recipe keys, below the flags.")
@click.option("--generator", help="Generator instead of the method's.")
@click.option(
    "--loss", "losses", multiple=True, metavar="NAME[=WEIGHT]", help="Add or reweight a loss; 0 leaves it out."
)
@click.option("--combiner", help="Combiner instead of the method's.")
@click.option("--replay", help="Replay memory instead of the method's.")
@click.option("--aggregator", help="Aggregator instead of the method's.")
@click.option(
    "--teachers", default=1, show_default=True, type=click.IntRange(1), help="Number of teachers (seeds 0, 1, ...)."
)
@click.option("--teacher", help="One pinned teacher by name or hash; see `dfkdbench teacher list`.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder that holds the data set's files.")
@click.option(
    "--download", is_flag=True, help="Download missing files into the data root where the data set allows it."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of runs.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of the worker; all cores otherwise.")
@click.option(
    "--isolation",
    type=click.Choice(["auto", "landlock", "audit", "none", "in-process"]),
    default="auto",
    show_default=True,
    help="How the worker is sealed; the record says what was in force.",
)
@click.option(
    "--checkpoint-seconds", type=click.FloatRange(0), default=30.0, show_default=True, help="Time between checkpoints."
)
@click.option("--dry-run", is_flag=True, help="Print what would run, with every setting and its origin, and stop.")
@click.option("--rerun", is_flag=True, help="Run finished ids again.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array, one object a seed.")
def run(
    seeds: str, teachers: int, config: Path | None, dry_run: bool, rerun: bool, as_json: bool, **given: Any
) -> None:
    """Run a method on a data set: train nothing on data, judge on the real test set.

    Finished runs are read, not run again; unfinished ones resume from their checkpoint.
    """
    from dfkdbench.bench import Request, prepare
    from dfkdbench.cli.console import Console

    request = Request(seeds=parse_seeds(seeds), teacher_count=teachers, config_file=config, **given)
    console = Console()
    prepared = prepare(request, console)
    plans = [prepared.plan(seed) for seed in request.seeds]
    console.introduce(plans[0], prepared)
    if dry_run:
        _print_plans(plans, prepared, as_json)
        return
    results, interrupted = _execute(plans, prepared, console, rerun)
    if as_json:
        click.echo(json.dumps([result.model_dump(mode="json") for result in results], indent=2))
    elif results:
        console.summary(results)
    if interrupted is not None:
        sys.exit(interrupted)
    if any(result.status != "finished" for result in results):
        sys.exit(1)


def _execute(plans: list[Plan], prepared: Prepared, console: Any, rerun: bool) -> tuple[list[Result], int | None]:
    """Runs the plans one after the other; what is finished is kept when a signal comes."""
    from dfkdbench.judge import InterruptedRun, execute

    request: Request = prepared.request
    root = request.out.resolve()
    prepared.registry.manager.register(console, name="console")
    results: list[Result] = []
    try:
        for plan in plans:
            console.expect(plan)
            results.append(execute(plan, root, prepared.bench(plan), rerun))
            console.finished(results[-1], root / plan.run_id)
    except InterruptedRun as stop:
        console(
            f"Stopped; the run left a checkpoint. The same command resumes it ({len(results)} of {len(plans)} done)."
        )
        return results, stop.exit_code
    finally:
        console.close()
        prepared.registry.manager.unregister(console)
    return results, None


def _print_plans(plans: list[Plan], prepared: Prepared, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([{"run_id": plan.run_id, **plan.model_dump(mode="json")} for plan in plans], indent=2))
        return
    from dfkdbench.cli.optionrows import recipe_rows
    from dfkdbench.cli.output import in_one_line, print_table

    rows = recipe_rows(prepared.method.item, prepared.resolved)
    print_table(("key", "value", "origin"), [(row.key, in_one_line(row.value), row.origin) for row in rows])
    for plan in plans:
        click.echo(
            f"would run {plan.run_id}: {plan.generator_steps:,} generator and {plan.student_steps:,} student steps"
        )

"""`dfkdbench run`: methods on one cell, one sealed run a method and seed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfkdbench.errors import ConfigError, PlanError
from dfkdbench.seeds import parse_seeds
from dfkdbench.shortcuts import CAPTURES, SHORTCUTS

if TYPE_CHECKING:
    from dfkdbench.bench import Prepared, Request
    from dfkdbench.cli.console import Console
    from dfkdbench.plan import Plan
    from dfkdbench.records import Result


@click.command()
@click.option(
    "--plugin",
    "plugins",
    required=True,
    multiple=True,
    help="Method to run; see `dfkdbench list methods`. Several run one after the other.",
)
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
@click.option("--threads", type=click.IntRange(1), help="CPU threads of a worker; what its images are worth otherwise.")
@click.option(
    "--jobs",
    default="1",
    show_default=True,
    metavar="N|auto",
    help="Runs side by side, on one device but cores of their own; auto: as many as the cores are enough for.",
)
@click.option(
    "--together",
    is_flag=True,
    help="All seeds in one process, a round of each at a time; on a GPU as one captured program where it is the same.",
)
@click.option(
    "--processes",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Processes that do each run together, on a GPU each; the run id is another than with one.",
)
@click.option(
    "--batch-statistics",
    type=click.Choice(["process", "synchronised"]),
    help="Of the student's batch norms with several processes: by each one's share, or by the whole batch (default).",
)
@click.option(
    "--plain", is_flag=True, help="Without exact shortcuts: the same mathematics, rounded otherwise, and slower."
)
@click.option(
    "--capture",
    type=click.Choice(CAPTURES),
    default=CAPTURES[0],
    show_default=True,
    help="Rounds as CUDA graphs where they are the same (auto, graph), or with compiled networks (compile).",
)
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
@click.option(
    "--observer",
    "observers",
    multiple=True,
    metavar="NAME[:PLACE]",
    help="jsonl[:FILE] writes every event as a JSON line; tensorboard[:DIR] writes curves. May be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Print what would run, with every setting and its origin, and stop.")
@click.option("--rerun", is_flag=True, help="Run finished ids again.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array, one object a seed.")
def run(
    plugins: tuple[str, ...],
    seeds: str,
    teachers: int,
    config: Path | None,
    observers: tuple[str, ...],
    jobs: str,
    together: bool,
    plain: bool,
    dry_run: bool,
    rerun: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Run methods on a data set: train nothing on data, judge on the real test set.

    Finished runs are read, not run again; unfinished ones resume from their checkpoint. Of several methods, one that
    is refused does not stop the others.
    """
    from dfkdbench.bench import Request
    from dfkdbench.cli.console import Console
    from dfkdbench.observers import observing
    from dfkdbench.registry import load_registry

    if given["processes"] > 1 and jobs != "1":
        raise ConfigError("--jobs puts runs side by side, and --processes has several do one. Give one of the two.")
    if together:
        _check_alone(jobs, given)
    console = Console()
    common = {**given, "seeds": parse_seeds(seeds), "teacher_count": teachers, "config_file": config}
    common["shortcuts"] = () if plain else tuple(SHORTCUTS)
    planned = _prepare_all([Request(plugin=plugin, **common) for plugin in dict.fromkeys(plugins)], console, together)
    if dry_run:
        _print_plans(planned, console, as_json)
        return
    with observing(load_registry().manager, observers):
        results, interrupted = _execute_all(planned, console, rerun, jobs, together)
    if as_json:
        click.echo(json.dumps([result.model_dump(mode="json") for result in results], indent=2))
    elif results:
        console.summary(results)
    if interrupted is not None:
        sys.exit(interrupted)
    if len(planned) < len(set(plugins)) or any(result.status != "finished" for result in results):
        sys.exit(1)


def _check_alone(jobs: str, given: dict[str, Any]) -> None:
    """Refuses what --together can't have beside it.

    Raises:
        ConfigError: It was given.
    """
    beside = {
        f"--jobs {jobs}, which gives each run a process of its own": jobs != "1",
        f"--processes {given['processes']}, which has several do each run": given["processes"] > 1,
        "--isolation in-process, which has no process for them": given["isolation"] == "in-process",
        "--capture compile, which is for one run a process": given["capture"] == "compile",
    }
    for option, was_given in beside.items():
        if was_given:
            raise ConfigError(f"--together runs all seeds in one sealed process, and can't be had with {option}.")


def _prepare_all(requests: list[Request], console: Console, together: bool) -> list[tuple[list[Plan], Prepared]]:
    """Plans of every request, before anything runs; of several, those that are refused are told and left out."""
    from dfkdbench.bench import prepare
    from dfkdbench.sharedprocess import check_together

    planned = []
    for request in requests:
        try:
            prepared = prepare(request, console)
            plans = [prepared.plan(seed) for seed in request.seeds]
            if together and len(plans) > 1:
                check_together(plans[0])
            planned.append((plans, prepared))
        except PlanError as refusal:
            if len(requests) == 1:
                raise
            click.echo(f"{request.plugin} is left out: {refusal}", err=True)
    return planned


def _execute_all(
    planned: list[tuple[list[Plan], Prepared]], console: Console, rerun: bool, jobs: str, together: bool
) -> tuple[list[Result], int | None]:
    """Runs every request's plans; stops at a signal."""
    results: list[Result] = []
    for plans, prepared in planned:
        console.introduce(plans[0], prepared)
        done, interrupted = _execute(plans, prepared, console, rerun, jobs, together)
        results += done
        if interrupted is not None:
            return results, interrupted
    return results, None


def _execute(
    plans: list[Plan], prepared: Prepared, console: Console, rerun: bool, jobs: str, together: bool
) -> tuple[list[Result], int | None]:
    """Runs the plans; what is finished is kept when a signal comes."""
    from dfkdbench.cli.sidebyside import execute_in_one_process, execute_side_by_side
    from dfkdbench.parallel import choose_places
    from dfkdbench.workerprocess import InterruptedRun

    if together and len(plans) > 1:
        return execute_in_one_process(plans, prepared, console, rerun)
    places = choose_places(jobs, prepared.request.threads, plans[0].input.image_size, prepared.device)
    if len(places) > 1:
        return execute_side_by_side(plans, prepared, places, console, rerun)
    results: list[Result] = []
    try:
        for plan in plans:
            results.append(execute_shown(plan, prepared, console, rerun))
    except InterruptedRun as stop:
        console(f"Stopped ({len(results)} of {len(plans)} done). The same command resumes the run where it was.")
        return results, stop.exit_code
    return results, None


def execute_shown(plan: Plan, prepared: Prepared, console: Console, rerun: bool = False) -> Result:
    """Runs a plan, or reads its record, while the console shows it; see `dfkdbench.judge.execute`."""
    from dfkdbench.judge import execute

    root = prepared.request.out.resolve()
    prepared.registry.manager.register(console, name="console")
    try:
        console.expect(plan)
        result = execute(plan, root, prepared.bench(plan), rerun)
        console.finished(result, root / plan.run_id)
    finally:
        console.close()
        prepared.registry.manager.unregister(console)
    return result


def _print_plans(planned: list[tuple[list[Plan], Prepared]], console: Console, as_json: bool) -> None:
    if as_json:
        everything = [plan for plans, _ in planned for plan in plans]
        click.echo(
            json.dumps([{"run_id": plan.run_id, **plan.model_dump(mode="json")} for plan in everything], indent=2)
        )
        return
    from dfkdbench.cli.optionrows import recipe_rows
    from dfkdbench.cli.output import in_one_line, print_table

    for plans, prepared in planned:
        console.introduce(plans[0], prepared)
        rows = recipe_rows(prepared.method.item, prepared.resolved)
        print_table(("key", "value", "origin"), [(row.key, in_one_line(row.value), row.origin) for row in rows])
        for plan in plans:
            click.echo(
                f"would run {plan.run_id}: {plan.generator_steps:,} generator and {plan.student_steps:,} student steps"
            )

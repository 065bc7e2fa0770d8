"""`dfkdbench bench`: what a round of a task costs on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfkdbench.shortcuts import CAPTURES, SHORTCUTS

if TYPE_CHECKING:
    from dfkdbench.timing.measure import Cost


@click.command()
@click.option("--plugin", required=True, help="Method to time; see `dfkdbench list methods`.")
@click.option("--dataset", required=True, help="Data set, for its shapes: no image is read.")
@click.option("--pair", metavar="TEACHER:STUDENT", help="Architectures; the data set's default pair otherwise.")
@click.option("--budget", metavar="TIER", help="Tier, for its presets; the data set's default otherwise.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a recipe key, such as batch_size=64.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file of recipe keys.")
@click.option("--generator", help="Generator instead of the method's.")
@click.option("--loss", "losses", multiple=True, metavar="NAME[=WEIGHT]", help="Add or reweight a loss.")
@click.option("--combiner", help="Combiner instead of the method's.")
@click.option("--replay", help="Replay memory instead of the method's.")
@click.option("--aggregator", help="Aggregator instead of the method's.")
@click.option("--teachers", "teacher_count", default=1, show_default=True, type=click.IntRange(1), help="Teachers.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@click.option("--plain", is_flag=True, help="Without exact shortcuts.")
@click.option("--capture", type=click.Choice(CAPTURES), default=CAPTURES[0], show_default=True, help="As of `run`.")
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True, help="Rounds to time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(threads: int, rounds: int, plain: bool, as_json: bool, **given: Any) -> None:
    """Time the rounds of a task: where they go, and how near to the device's peak they come.

    Needs neither data nor a trained teacher: teachers have random weights. Nothing is sealed or recorded.
    """
    from dfkdbench.bench import Request
    from dfkdbench.registry import load_registry
    from dfkdbench.timing.process import Order, measure_apart
    from dfkdbench.timing.untrained import plan_untrained

    request = Request(shortcuts=() if plain else tuple(SHORTCUTS), **given)
    plan = plan_untrained(load_registry(), request)
    order = Order(plan=plan, rounds=rounds, threads=threads, shortcuts=request.shortcuts, capture=request.capture)
    cost = measure_apart(order)
    if as_json:
        click.echo(json.dumps({**cost.model_dump(mode="json"), "utilisation": cost.utilisation}, indent=2))
    else:
        _print(cost)


def _print(cost: Cost) -> None:
    from dfkdbench.cli.output import print_table

    threads = f", {cost.threads} thread{'s' if cost.threads > 1 else ''}" if cost.device == "cpu" else ""
    click.echo(f"{cost.plugin} on {cost.dataset}, {cost.pair}, batch {cost.batch_size}, {cost.precision}")
    click.echo(f"{cost.hardware}{threads}; {cost.capture.told()}")
    total = sum(cost.parts.values())
    rows = [(part, f"{1000 * seconds:.2f}", f"{seconds / total:.0%}") for part, seconds in cost.parts.items()]
    print_table(("part of a round", "ms", "share"), rows)
    click.echo(
        f"round {1000 * cost.seconds:.2f} ms, {cost.student_samples / cost.seconds:,.0f} student samples/s, "
        f"{cost.teacher_queries / cost.seconds:,.0f} teacher queries/s"
    )
    click.echo(
        f"{cost.flops / cost.seconds / 1e9:,.1f} GFLOP/s, {cost.utilisation:.1f} % of the "
        f"{cost.peak_flops / 1e9:,.1f} of large products here; peak memory {cost.peak_memory_mb:,.0f} MiB"
    )

"""`dfkdbench sweep`: a campaign of many runs from one file."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfkdbench.errors import ConfigError, PlanError

if TYPE_CHECKING:
    from dfkdbench.campaigns.definition import Campaign
    from dfkdbench.campaigns.driver import Tally
    from dfkdbench.campaigns.estimate import Measurements
    from dfkdbench.campaigns.planning import Place, PlannedCampaign, Planner

_STOPPED = 75


@click.command()
@click.argument("campaign", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say which runs there are, what they take and what is refused; stop.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print a JSON object.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of runs.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder that holds the data sets' files.")
@click.option("--download", is_flag=True, help="Download missing files where the data set allows it.")
@click.option("--device", help="auto, cpu or cuda, instead of the file's.")
@click.option("--budget", metavar="TIER", help="One tier for all runs, such as smoke to try a campaign out.")
@click.option("--seeds", metavar="LIST", help="Seeds of all runs, instead of the file's.")
@click.option("--executor", metavar="NAME", help="Where runs are made; see `dfkdbench list executors`.")
@click.option(
    "--executor-set", "options", multiple=True, metavar="KEY=VALUE", help="An option of it, such as workers=4."
)
@click.option("--time-limit", type=click.FloatRange(1), metavar="SECONDS", help="Stop then, with checkpoints.")
@click.option("--shard", metavar="I/N", help="Only the I-th of N parts (from 1), for job arrays.")
@click.option("--retries", type=click.IntRange(0), default=2, show_default=True, help="Further starts of a killed run.")
@click.option("--retry", is_flag=True, help="Try again what was given up.")
def sweep(
    campaign: Path,
    dry_run: bool,
    as_json: bool,
    budget: str | None,
    seeds: str | None,
    device: str | None,
    executor: str | None,
    options: tuple[str, ...],
    time_limit: float | None,
    shard: str | None,
    retries: int,
    retry: bool,
    **where: Any,
) -> None:
    """Make every run of CAMPAIGN, a TOML file; docs/campaigns.md has its keys.

    Each run is an ordinary `dfkdbench run` in --out. What has a record is not run again, failed runs included; what
    was stopped resumes. So the same command goes on wherever it was stopped, and several may share a folder.
    """
    started_at = time.monotonic()
    from dfkdbench.campaigns.definition import read_campaign
    from dfkdbench.campaigns.estimate import Measurements
    from dfkdbench.campaigns.planning import Place, Planner
    from dfkdbench.registry import load_registry

    part = _parse_shard(shard)
    overrides = {key: value for key, value in (("budget", budget), ("seeds", seeds)) if value is not None}
    read = _with_flags(read_campaign(campaign, overrides), device, executor, options)
    place = Place(where["out"], where["data_root"], where["download"], fetch=not dry_run)
    registry = load_registry()
    spec = registry.executors.get(read.executor).item
    planner = Planner(registry, read, place)
    planned = _plan(planner, read, part)
    measured = Measurements([place.out, *read.measured])
    _show(planned, measured, read, dry_run, as_json)
    if dry_run:
        return
    sweeper = _Sweep(read, place, planner, measured, part)
    sys.exit(sweeper.run(planned, spec, retries, retry, time_limit, started_at))


class _Sweep:
    """A campaign that is made now."""

    def __init__(
        self, campaign: Campaign, place: Place, planner: Planner, measured: Measurements, part: tuple[int, int] | None
    ) -> None:
        self.campaign, self.place, self.planner, self.measured, self.part = campaign, place, planner, measured, part

    def run(
        self,
        planned: PlannedCampaign,
        spec: Any,
        retries: int,
        retry: bool,
        time_limit: float | None,
        started_at: float,
    ) -> int:
        """Makes it; the exit status."""
        from dfkdbench.campaigns.attempts import Attempts
        from dfkdbench.campaigns.driver import Driver
        from dfkdbench.campaigns.works import run_works, teacher_works
        from dfkdbench.cli.sweep_output import SweepConsole, print_end, state_of
        from dfkdbench.devices import choose_device
        from dfkdbench.executors.choosing import make_executor
        from dfkdbench.executors.jobs import KEPT

        if not spec.elsewhere:
            choose_device(self.campaign.resources.device)
        device = self.planner.device
        each = self.campaign.resources.of(device)
        out = self.place.out.resolve()
        (out / KEPT).mkdir(parents=True, exist_ok=True)
        attempts = Attempts(out)
        if retry:
            attempts.forget()
        executor = make_executor(spec, self.campaign.executor_options, each, out)
        done = sum(state_of(run) == "done" for run in planned.runs)
        console = SweepConsole(len(planned.runs) + len(planned.missing_teachers), done)
        driver = Driver(executor, attempts, console, out, retries, time_limit, started_at)
        try:
            tally = driver.make(teacher_works(planned.missing_teachers, each, self.place, device))
            if tally.stopped_by is None:
                if tally.done:
                    planned = _plan(self.planner, self.campaign, self.part)
                todo = [run for run in planned.settled if state_of(run) != "done"]
                teachers, tally = tally, driver.make(run_works(todo, each, self.measured))
                tally.given_up |= teachers.given_up
        finally:
            console.close()
            executor.close()
        finished = sum(state_of(run) == "done" for run in planned.runs)
        print_end(finished, len(planned.runs), tally.given_up, _stopped(tally))
        return _exit_status(tally, planned, finished)


def _plan(planner: Planner, campaign: Campaign, part: tuple[int, int] | None) -> PlannedCampaign:
    """The campaign's plan, or a part of it.

    Raises:
        PlanError: A part of a campaign whose ids are not all known.
    """
    from dfkdbench.campaigns.planning import in_shard

    planned = planner.plan(campaign.choices())
    if part is not None:
        if planned.missing_teachers:
            names = ", ".join(teacher.name for teacher in planned.missing_teachers)
            raise PlanError(
                f"--shard goes by run ids, and these teachers have to be there first: {names}. Train them with "
                "`dfkdbench teacher train`, or run the campaign once without --shard."
            )
        planned.runs = [run for run in planned.runs if in_shard(run.plan.run_id, part)]
    return planned


def _show(planned: PlannedCampaign, measured: Measurements, campaign: Campaign, dry_run: bool, as_json: bool) -> None:
    """The plan: the answer of a dry run, else a remark."""
    from dfkdbench.cli.sweep_output import plan_lines, print_plan_json
    from dfkdbench.devices import available_cores

    if dry_run and as_json:
        print_plan_json(planned, measured)
        return
    wide = campaign.executor_options.get("workers") or available_cores() // campaign.resources.threads
    here = campaign.executor == "local" and isinstance(wide, int) and wide > 0
    for line in plan_lines(planned, measured, wide if here else None):
        click.echo(line, err=not dry_run)


def _with_flags(campaign: Campaign, device: str | None, executor: str | None, options: tuple[str, ...]) -> Campaign:
    """The campaign with what the flags say instead; another executor does not get the options of the file's."""
    chosen = executor or campaign.executor
    kept = dict(campaign.executor_options) if chosen == campaign.executor else {}
    for text in options:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--executor-set takes KEY=VALUE such as workers=4, given '{text}'.")
        try:
            kept[key] = json.loads(value)
        except json.JSONDecodeError:
            kept[key] = value
    resources = campaign.resources.model_copy(update={"device": device} if device else {})
    return replace(campaign, executor=chosen, executor_options=kept, resources=resources)


def _parse_shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--shard takes I/N with I from 1 to N, such as 2/8; given '{text}'.")
    return int(match[1]), int(match[2])


def _stopped(tally: Tally) -> str:
    if tally.stopped_by is None:
        return ""
    why = "Stopped" if tally.stopped_by else "The time is over"
    return f"{why}; what was going left a checkpoint, and the same command goes on. "


def _exit_status(tally: Tally, planned: PlannedCampaign, finished: int) -> int:
    """0: every run has a record. 1: some can't be made. 75 and 130: stopped, and to be gone on with."""
    if tally.stopped_by is not None:
        return 130 if tally.stopped_by == 2 else _STOPPED
    return 0 if finished == len(planned.runs) else 1

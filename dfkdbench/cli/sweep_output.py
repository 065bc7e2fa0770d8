"""What `dfkdbench sweep` shows: the plan before anything runs, then one line a run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click
from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dfkdbench.campaigns.driver import Work
from dfkdbench.campaigns.estimate import Measurements, students_bytes
from dfkdbench.campaigns.planning import PlannedCampaign, PlannedRun
from dfkdbench.cli.output import print_json, print_remark

_QUIET_SECONDS = 60.0


class SweepConsole:
    """Lines on standard error; on a terminal a bar below them."""

    def __init__(self, total: int, done: int) -> None:
        self._rich = RichConsole(stderr=True, highlight=False, soft_wrap=True)
        self._total, self._done = total, done
        self._told = time.monotonic()
        self._progress: Progress | None = None
        if self._rich.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
            self._progress = Progress(*columns, console=self._rich, transient=True)
            self._task = self._progress.add_task("", total=total, completed=done, note="")
            self._progress.start()

    def started(self, work: Work) -> None:
        """Shown by the bar alone."""

    def ended(self, work: Work, line: str) -> None:
        """One line a run."""
        self._done += 1
        self._told = time.monotonic()
        if self._progress is not None:
            self._progress.update(self._task, completed=self._done)
        self._rich.print(f"{self._done:>4} of {self._total}  {work.title}: {line}", markup=False)

    def retried(self, work: Work, reason: str) -> None:
        """Says why a start came to nothing."""
        self._rich.print(f"             {work.title} starts again: {reason}", markup=False)

    def moved(self, going: Sequence[Work], left: int, seconds_left: float | None) -> None:
        """Moves the bar; without a terminal, a line a minute."""
        note = f"{len(going)} running, {left} waiting, {in_words(seconds_left)} left"
        if self._progress is not None:
            names = ", ".join(work.title for work in going[:3])
            self._progress.update(self._task, note=f"{note}  {names}")
        elif time.monotonic() - self._told > _QUIET_SECONDS:
            self._told = time.monotonic()
            self._rich.print(f"             {note}", markup=False)

    def close(self) -> None:
        """Takes the bar away."""
        if self._progress is not None:
            self._progress.stop()


def in_words(seconds: float | None) -> str:
    """A time for people."""
    if seconds is None:
        return "unknown time"
    if seconds < 120:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 7200 else f"about {seconds / 3600:.1f} h"


def state_of(run: PlannedRun) -> str:
    """done, unfinished, new, waiting (for a teacher) or blocked (without data)."""
    if run.blocked:
        return "blocked"
    if run.missing:
        return "waiting"
    if run.folder.result.exists():
        return "done"
    return "unfinished" if run.folder.plan.exists() else "new"


def plan_rows(planned: PlannedCampaign, measured: Measurements) -> list[dict[str, Any]]:
    """One row a run."""
    rows = []
    for run in planned.runs:
        estimate = measured.estimate(run.plan)
        rows.append(
            {
                "run": run.title,
                "run_id": run.plan.run_id if run.is_settled else None,
                "state": state_of(run),
                "seconds": round(estimate.seconds, 1) if estimate else None,
                "estimated_by": estimate.source if estimate else None,
                "disk_bytes": students_bytes(run.plan),
                "reason": run.blocked,
            }
        )
    return rows


def print_plan_json(planned: PlannedCampaign, measured: Measurements) -> None:
    """The campaign before it runs, for programs."""
    teachers = [teacher.name for teacher in planned.missing_teachers]
    print_json({"runs": plan_rows(planned, measured), "refused": planned.refused, "teachers": teachers})


def plan_lines(planned: PlannedCampaign, measured: Measurements, width: int | None) -> Iterator[str]:
    """The campaign before it runs.

    Args:
        width: Runs at a time, where that is known.
    """
    rows = plan_rows(planned, measured)
    counts = {state: sum(row["state"] == state for row in rows) for state in ("done", "unfinished", "new")}
    yield f"{len(rows)} runs: " + ", ".join(f"{count} {state}" for state, count in counts.items())
    for teacher in planned.missing_teachers:
        waiting = sum(teacher in run.missing for run in planned.runs)
        yield f"teacher {teacher.name} is trained first; {waiting} runs wait for it, and their ids with them"
    yield from _cost_lines(planned, [row for row in rows if row["state"] != "done"], measured, width)
    for reason in dict.fromkeys(run.blocked for run in planned.blocked):
        count = sum(run.blocked == reason for run in planned.runs)
        yield f"{count} runs can't be made here: {reason}"
    if planned.refused:
        yield f"{len(planned.refused)} combination(s) can't work and are left out:"
    for title, reason in planned.refused.items():
        yield f"  {title}: {reason}"


def _cost_lines(
    planned: PlannedCampaign, left: Sequence[dict[str, Any]], measured: Measurements, width: int | None
) -> Iterator[str]:
    known = [row["seconds"] for row in left if row["seconds"] is not None]
    if known:
        source = f"{measured.records} records on {', '.join(sorted(measured.hardware))}"
        spread = f"; {width} at a time {in_words(sum(known) / width)}" if width else ""
        yield f"device time left: {in_words(sum(known))} of training{spread}, by the step times of {source}"
    if unknown := len(left) - len(known):
        yield f"device time of {unknown} runs: unknown; no record at hand is of anything like them"
    size = sum(row["disk_bytes"] for row in left)
    yield f"disk: {size / 1e6:,.0f} MB of students at the evaluations, checkpoints come on top{_free(planned)}"


def _free(planned: PlannedCampaign) -> str:
    """What the disk of the runs folder has free; the folder need not be there yet."""
    if not planned.runs:
        return ""
    folder = planned.runs[0].request.out.resolve()
    here = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return f", {shutil.disk_usage(here).free / 1e9:.1f} GB free"


def print_end(done: int, total: int, given_up: dict[str, str], stopped: str) -> None:
    """What it came to."""
    for title, reason in given_up.items():
        print_remark(f"given up  {title}: {reason}")
    if given_up:
        print_remark("Those are not tried again unless with --retry.")
    click.echo(f"{stopped}{done} of {total} runs have a record, {len(given_up)} given up")

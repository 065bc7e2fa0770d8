"""What a person sees while runs go on: an observer like any other, with a progress bar on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tabulate import tabulate

from dfkdbench.budgets import OVER_BUDGET, expected_queries
from dfkdbench.hookspecs import hookimpl
from dfkdbench.tuning import changed_settings

if TYPE_CHECKING:
    from dfkdbench.bench import Prepared
    from dfkdbench.plan import Plan
    from dfkdbench.records import Result

LONG_SECONDS = 3600
_MEASURED_STEPS = 3
_PLAIN_EVERY = 0.1


class Console:
    """Tells on standard error what is going on; standard output stays for results."""

    def __init__(self) -> None:
        self.rich = RichConsole(stderr=True, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._plan: Plan | None = None
        self._suggestions = ""
        self._accuracy = ""
        self._told_fraction = 0.0
        self._estimated = False

    def __call__(self, line: str) -> None:
        """Prints a line."""
        self.rich.print(line, markup=False)

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        """Moves the bar of a teacher's training; a plain line every tenth of it otherwise."""
        if self.rich.is_terminal:
            if self._progress is None:
                self._open_bar("teacher")
            self._move_bar(epoch / epochs, f"loss {loss:.4f}")
            if epoch == epochs:
                self.close()
        elif epoch == epochs or epoch * 10 // epochs > (epoch - 1) * 10 // epochs:
            self(f"teacher  epoch {epoch} of {epochs}, loss {loss:.4f}")

    def introduce(self, plan: Plan, prepared: Prepared) -> None:
        """Task, pair, teacher, tier, league and device, before anything runs."""
        card = prepared.teachers[0].card
        more = f" and {len(prepared.teachers) - 1} more" if len(prepared.teachers) > 1 else ""
        where = "sealed worker" if plan.side == "worker" else "judge's side: a control that sees real samples"
        self(f"task     {plan.input.dataset}, {plan.pair}, protocol {plan.protocol}")
        self(f"method   {plan.plugin} ({plan.distribution}), league {plan.league}")
        self(f"teacher  {card.name}{more}, {card.accuracy:.2f} % on the test set, sha256 {card.sha256[:12]}")
        self(
            f"budget   {plan.budget.name}: {plan.student_steps:,} student and {plan.generator_steps:,} generator steps "
            f"at batch {plan.recipe.batch_size}"
        )
        queries, limit = expected_queries(plan), plan.limits["teacher_queries"]
        if limit and queries > limit:
            self(
                f"         about {queries:,} teacher queries are planned and the tier has {limit:,}: the run would end "
                f"as {OVER_BUDGET}. Fewer generator steps or a smaller generator batch would fit."
            )
        if changed := changed_settings(prepared.registry, plan):
            self(f"settings changed away from the preset, so that the run never ranks: {', '.join(changed)}")
        several = f"{plan.processes} processes, {plan.batch_statistics} statistics, " if plan.processes > 1 else ""
        self(f"device   {plan.device}, {several}{where}, isolation {prepared.request.isolation}")
        if plan.readout is not None and prepared.readout_samples is not None:
            self(
                f"readout  {plan.readout.name}: fitted by the judge on {len(prepared.readout_samples):,} labelled "
                "training images once the worker has ended"
            )
        self._suggestions = _smaller(plan, prepared)

    def expect(self, plan: Plan) -> None:
        """A run is about to start, or its record to be read."""
        self._plan, self._accuracy, self._told_fraction, self._estimated = plan, "", 0.0, False

    @hookimpl
    def dfkdbench_run_started(self, run_id: str, isolation: str) -> None:
        """Says what is in force and opens the bar."""
        self(f"run      {run_id}, isolation: {isolation}")
        if self.rich.is_terminal:
            self._open_bar(f"seed {self._plan.seed if self._plan else 0}")

    @hookimpl
    def dfkdbench_report(self, report: Mapping[str, Any]) -> None:
        """Moves the bar, and once says so where the run will take long."""
        fraction, seconds = float(report.get("fraction", 0)), float(report.get("seconds", 0))
        self._estimate(report, seconds)
        if self._progress is not None:
            self._move_bar(fraction, self._accuracy)
        elif fraction >= self._told_fraction + _PLAIN_EVERY:
            self._told_fraction = fraction
            self(f"{fraction:5.0%}  {seconds:7.1f} s  {self._accuracy}")

    @hookimpl
    def dfkdbench_evaluated(self, evaluation: Mapping[str, Any]) -> None:
        """Remembers the newest accuracy for the next line."""
        self._accuracy = f"test accuracy {evaluation['accuracy']:.2f} %"

    def finished(self, result: Result, folder: Path) -> None:
        """One line a run."""
        self.close()
        if result.status == "finished":
            outcome = f"{result.accuracy_final:.2f} % in {result.train_seconds:.0f} s"
            if result.readout is not None:
                outcome += f" ({result.readout} on real samples; {_percent(result.accuracy_ensemble)} % without them)"
            self(f"done     seed {result.seed}: {outcome} -> {folder}")
        else:
            self(f"ended    seed {result.seed}: {result.status}: {result.error} -> {folder}")

    def _estimate(self, report: Mapping[str, Any], seconds: float) -> None:
        """After a few measured steps, once: how long the run will take, where that is over an hour."""
        steps = int(report.get("student_steps", 0)) + int(report.get("generator_steps", 0))
        if self._estimated or self._plan is None or steps < _MEASURED_STEPS:
            return
        self._estimated = True
        total = seconds / steps * (self._plan.student_steps + self._plan.generator_steps)
        if total > LONG_SECONDS:
            self(f"estimate about {total / 3600:.1f} hours on this device, going on.{self._suggestions}")

    def _open_bar(self, title: str) -> None:
        self._progress = bars(self.rich)
        self._task = self._progress.add_task(title, total=1.0, note="")
        self._progress.start()

    def _move_bar(self, fraction: float, note: str) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=fraction, note=note)

    def close(self) -> None:
        """Takes the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = self._task = None

    def summary(self, results: Sequence[Result]) -> None:
        """The table of this command's runs, on standard output."""
        columns = ("plugin", "dataset", "pair", "seed", "status")
        rows = [
            [
                *(getattr(result, column) for column in columns),
                *map(_percent, (result.accuracy_final, result.accuracy_oracle, result.teacher_accuracy)),
                f"{result.train_seconds:.0f}",
            ]
            for result in results
        ]
        headers = [*columns, "accuracy %", "oracle %", "teacher %", "seconds"]
        click.echo(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _smaller(plan: Plan, prepared: Prepared) -> str:
    """Commands that would take less time."""
    spec = prepared.cell.dataset.item
    tiers = list(spec.budgets)
    smaller_tier = tiers[max(0, tiers.index(plan.budget.name) - 1)]
    hints = [f"--budget {smaller_tier}"] if smaller_tier != plan.budget.name else []
    if spec.pairs[-1] != plan.pair:
        hints.append(f"--pair {spec.pairs[-1]}")
    return f" Shorter: {' or '.join(hints)}." if hints else ""


def bars(console: RichConsole) -> Progress:
    """Progress bars of runs: each with a title, and a `note` behind it. They vanish when they are stopped."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=console, transient=True)

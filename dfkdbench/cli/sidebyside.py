"""What a person sees of several runs at once: a bar for each on a terminal, lines that name their seed elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.progress import TaskID

from dfkdbench.bench import Prepared
from dfkdbench.cli.console import Console, bars
from dfkdbench.hookspecs import hookimpl
from dfkdbench.parallel import Place, execute_all, execute_together
from dfkdbench.plan import Plan
from dfkdbench.records import Result

_PLAIN_EVERY = 0.25


class SideBySide:
    """An observer of several runs. Its calls come from a thread for each."""

    def __init__(self, plans: Sequence[Plan], console: Console) -> None:
        self._seeds = {plan.run_id: plan.seed for plan in plans}
        self._accuracies = dict.fromkeys(self._seeds, "")
        self._told = dict.fromkeys(self._seeds, 0.0)
        self._tasks: dict[str, TaskID] = {}
        self._console = console
        self._progress = bars(console.rich) if console.rich.is_terminal else None

    def __enter__(self) -> SideBySide:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    @hookimpl
    def dfkdbench_run_started(self, run_id: str, isolation: str) -> None:
        """Says what is in force and opens the run's bar."""
        self._console(f"run      {run_id}, isolation: {isolation}")
        if self._progress is not None:
            self._tasks[run_id] = self._progress.add_task(f"seed {self._seeds[run_id]}", total=1.0, note="")

    @hookimpl
    def dfkdbench_report(self, run_id: str, report: Mapping[str, Any]) -> None:
        """Moves the run's bar, or says a line every quarter."""
        fraction, note = float(report.get("fraction", 0)), self._accuracies[run_id]
        if self._progress is not None:
            self._progress.update(self._tasks[run_id], completed=fraction, note=note)
        elif fraction >= self._told[run_id] + _PLAIN_EVERY:
            self._told[run_id] = fraction
            seconds = float(report.get("seconds", 0))
            self._console(f"{fraction:5.0%}  {seconds:7.1f} s  seed {self._seeds[run_id]}  {note}")

    @hookimpl
    def dfkdbench_evaluated(self, run_id: str, evaluation: Mapping[str, Any]) -> None:
        """Remembers the run's newest accuracy."""
        self._accuracies[run_id] = f"test accuracy {evaluation['accuracy']:.2f} %"

    @hookimpl
    def dfkdbench_run_finished(self, run_id: str) -> None:
        """Takes the run's bar away."""
        if self._progress is not None and run_id in self._tasks:
            self._progress.remove_task(self._tasks[run_id])


def execute_side_by_side(
    plans: list[Plan], prepared: Prepared, places: Sequence[Place], console: Console, rerun: bool
) -> tuple[list[Result], int | None]:
    """Runs plans side by side and shows how far they are; see `dfkdbench.parallel.execute_all`."""
    console(f"jobs     {len(places)} at a time, {places[0].threads} thread(s) each")
    return _watch(plans, prepared, console, lambda told: execute_all(plans, prepared, places, rerun, told))


def execute_in_one_process(
    plans: list[Plan], prepared: Prepared, console: Console, rerun: bool
) -> tuple[list[Result], int | None]:
    """Runs plans in one process and shows how far they are; see `dfkdbench.parallel.execute_together`."""
    console(f"together {len(plans)} runs in one process")
    return _watch(plans, prepared, console, lambda told: execute_together(plans, prepared, rerun, told))


def _watch(
    plans: list[Plan],
    prepared: Prepared,
    console: Console,
    execute: Callable[[Callable[[Plan, Result], None]], tuple[list[Result], int | None]],
) -> tuple[list[Result], int | None]:
    root = prepared.request.out.resolve()
    watching = SideBySide(plans, console)
    manager = prepared.registry.manager
    manager.register(watching, name="side by side")
    try:
        with watching:
            results, exit_code = execute(lambda plan, result: console.finished(result, root / plan.run_id))
    finally:
        manager.unregister(watching)
    if exit_code is not None:
        done = f"{len(results)} of {len(plans)} done"
        console(f"Stopped; the runs left checkpoints. The same command resumes them ({done}).")
    return results, exit_code

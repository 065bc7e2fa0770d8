"""Several runs at once, side by side or in one process: how they are started, watched and stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from typing import NamedTuple

from dfkdbench.bench import Prepared
from dfkdbench.devices import available_cores, fitting_threads
from dfkdbench.errors import ConfigError, DfkdbenchError
from dfkdbench.judge import execute
from dfkdbench.plan import Plan
from dfkdbench.records import Result
from dfkdbench.sharedprocess import Guest, SharedProcess
from dfkdbench.workerprocess import InterruptedRun, signals_to_all

_MOST_ON_AN_ACCELERATOR = 8
"""Runs of `--jobs auto` on one: small pairs leave it idle between launches, and each has a context of its own there."""


class Place(NamedTuple):
    """What one worker gets of the machine.

    Attributes:
        threads: Of its own, or None where the run decides.
        cores: Where it may run; anywhere where there are none.
    """

    threads: int | None
    cores: tuple[int, ...] = ()


def choose_places(jobs: str, threads: int | None, image_size: int, device: str = "cpu") -> list[Place]:
    """One place for every run that goes on at a time.

    Args:
        jobs: A number, or "auto" for as many as the cores are enough for, and on an accelerator not more than 8.
        threads: Of a worker, or None: where several share the machine, as its images are worth and cores allow. On an
            accelerator one, which asks it for the work.
        image_size: Pixels a side.
        device: Of the runs; all of them share it.

    Raises:
        ConfigError: `jobs` is neither.
    """
    cores = available_cores()
    if jobs != "auto" and not (jobs.isdecimal() and int(jobs) > 0):
        raise ConfigError(f"--jobs takes a number of runs from 1 up, or auto; given '{jobs}'.")
    wanted = fitting_threads(image_size) if device == "cpu" else 1
    fitting = max(1, cores // (threads or wanted))
    if device != "cpu":
        fitting = min(fitting, _MOST_ON_AN_ACCELERATOR)
    count = fitting if jobs == "auto" else int(jobs)
    if count == 1:
        return [Place(threads)]
    each = threads or max(1, min(wanted, cores // count))
    if count * each > cores or "sched_getaffinity" not in dir(os):
        return [Place(each)] * count
    mine = sorted(os.sched_getaffinity(0))
    return [Place(each, tuple(mine[number * each : (number + 1) * each])) for number in range(count)]


def execute_all(
    plans: Sequence[Plan],
    prepared: Prepared,
    places: Sequence[Place],
    rerun: bool,
    finished: Callable[[Plan, Result], None],
) -> tuple[list[Result], int | None]:
    """Runs plans, as many at a time as there are places, or reads their records. For the main thread.

    A stop signal asks every worker for a checkpoint, a second one kills them; no further run begins.

    Args:
        finished: Called with every record as it comes, from any thread.

    Returns:
        Records in the plans' order, and the exit code that a signal asks for, or None.

    Raises:
        DfkdbenchError: The first that a run gave, once the others have ended.
    """
    root = prepared.request.out.resolve()
    free: SimpleQueue[Place] = SimpleQueue()
    for place in places:
        free.put(place)
    with signals_to_all() as received, ThreadPoolExecutor(len(places)) as pool:

        def work(plan: Plan) -> Result:
            if received:
                raise InterruptedRun(received[0])
            place = free.get()
            try:
                own = replace(prepared, request=replace(prepared.request, threads=place.threads, cores=place.cores))
                result = execute(plan, root, own.bench(plan), rerun)
            finally:
                free.put(place)
            finished(plan, result)
            return result

        return _gather([pool.submit(work, plan) for plan in plans])


def execute_together(
    plans: Sequence[Plan], prepared: Prepared, rerun: bool, finished: Callable[[Plan, Result], None]
) -> tuple[list[Result], int | None]:
    """Runs plans in one process, or reads their records; see `execute_all`.

    Args:
        plans: They differ in the seed alone.
    """
    root = prepared.request.out.resolve()
    for plan in plans:  # no run's seal is made before the folders of the others are there, which it closes
        (root / plan.run_id).mkdir(parents=True, exist_ok=True)
    shared = SharedProcess(len(plans))
    with signals_to_all() as received, ThreadPoolExecutor(len(plans)) as pool:

        def work(plan: Plan) -> Result:
            with Guest(shared) as guest:
                if received:
                    raise InterruptedRun(received[0])
                result = execute(plan, root, replace(prepared.bench(plan), start=guest.training_process), rerun)
            finished(plan, result)
            return result

        return _gather([pool.submit(work, plan) for plan in plans])


def _gather(running: Sequence[Future[Result]]) -> tuple[list[Result], int | None]:
    results, exit_code = [], None
    errors: list[DfkdbenchError] = []
    for future in running:
        try:
            results.append(future.result())
        except InterruptedRun as stop:
            exit_code = stop.exit_code
        except DfkdbenchError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return results, exit_code

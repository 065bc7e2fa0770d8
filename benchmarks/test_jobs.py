"""Whole runs an hour: one-thread workers side by side against one worker with all their threads, alternating.

Wall seconds, on a machine that other work may share: how many of its cores that kept busy stands beside the ratio.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from test_startup import processor_seconds

from dfkdbench.devices import available_cores

TURNS = int(os.environ.get("DFKDBENCH_TURNS", "1"))
JOBS = min(4, available_cores())
RUNS = 2 * JOBS
RUN = ("run", "--plugin", "dafl", "--dataset", "digits", "--budget", "quick", "--seeds", f"0-{RUNS - 1}")
WAYS = {"side by side": ("--jobs", str(JOBS), "--threads", "1"), "one by one": ("--threads", str(JOBS))}


class Spent(NamedTuple):
    """Wall seconds of a command, and processor seconds that others took meanwhile."""

    seconds: float
    others: float


def spend(way: str, folder: Path) -> Spent:
    """Every seed's run, from nothing."""
    before, busy, started = processor_seconds(), busy_seconds(), time.perf_counter()
    command = [sys.executable, "-P", "-m", "dfkdbench", *RUN, *WAYS[way], "--out", str(folder)]
    subprocess.run(command, capture_output=True, check=True)
    seconds = time.perf_counter() - started
    return Spent(seconds, max(0.0, busy_seconds() - busy - (processor_seconds() - before)))


def busy_seconds() -> float:
    """Seconds since the machine's start that its processors did not idle, summed over them."""
    _, user, nice, system, _idle, _waiting, *interrupts = Path("/proc/stat").read_text().partition("\n")[0].split()
    return sum(map(int, (user, nice, system, *interrupts[:3]))) / os.sysconf("SC_CLK_TCK")


@pytest.mark.timeout(3600)  # threads of a worker that wait for busy cores may take twenty times as long
@pytest.mark.skipif(JOBS < 2, reason="needs two cores")
def test_runs_an_hour(benchmark: Any, tmp_path: Path) -> None:
    folders = (tmp_path / str(number) for number in itertools.count())
    spent: dict[str, list[Spent]] = {way: [] for way in WAYS}
    benchmark.pedantic(
        lambda: spent["side by side"].append(spend("side by side", next(folders))),
        setup=lambda: spent["one by one"].append(spend("one by one", next(folders))),
        rounds=TURNS,
    )
    hourly = {way: 3600 * RUNS / statistics.median(each.seconds for each in turns) for way, turns in spent.items()}
    ratios = [
        one.seconds / other.seconds for one, other in zip(spent["one by one"], spent["side by side"], strict=True)
    ]
    every = [each for turns in spent.values() for each in turns]
    others = sum(each.others for each in every) / sum(each.seconds for each in every)
    benchmark.extra_info |= {"runs an hour": hourly, "times as many": ratios, "cores that others kept busy": others}
    told = ", ".join(f"{count:.0f} {way}" for way, count in hourly.items())
    print(f"\nruns an hour: {told}; others kept {others:.2f} cores busy")

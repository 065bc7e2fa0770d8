"""A sealed run of one student step, from nothing to its record: an upper bound for the start of a worker.

The judge's own part is in it: it evaluates the student, and takes figures of its images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_startup import processor_seconds

from dfkdbench.bench import Request, prepare
from dfkdbench.cli.console import Console
from dfkdbench.judge import execute

ROUNDS = 5
SETTINGS = ("phases.distil.rounds=1", "phases.distil.student_steps=1")


@pytest.mark.parametrize(("plugin", "processes"), [("dafl", 1), ("noise", 2)])
def test_run_of_one_step(benchmark: Any, plugin: str, processes: int, tmp_path: Path) -> None:
    prepared = prepare(Request(plugin, "digits", settings=SETTINGS, threads=1, device="cpu"), Console())
    plan = prepared.plan(0)
    assert plan.student_steps == 1
    assert 1 + plan.teachers_apart == processes

    def run() -> None:
        assert execute(plan, tmp_path, prepared.bench(plan), rerun=True).status == "finished"

    run()
    before = processor_seconds()
    benchmark.pedantic(run, rounds=ROUNDS)
    benchmark.extra_info["processor seconds of the processes"] = round((processor_seconds() - before) / ROUNDS, 2)

"""What a run may spend: counted for loops of a method's own too, and ended when it is spent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from dfkdbench.bench import Request, prepare
from dfkdbench.budgets import Clock, OverBudgetError, expected_queries
from dfkdbench.cli.console import Console
from dfkdbench.judge import execute
from dfkdbench.meter import Meter
from dfkdbench.plan import Plan
from dfkdbench.registry import Registry

PLUGIN = """
from dfkdbench.descriptors import Method
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, PartChoice, Phase, Recipe

API = 1

@hookimpl
def dfkdbench_methods():
    recipe = Recipe(generator=PartChoice(name="noise"), student_losses=dict(kl=LossChoice()), batch_size=64,
                    phases=dict(distil=Phase(generator_steps=0)))
    return [Method(name="spender", summary="Spends.", recipe=recipe, loop="spender.loop:Loop",
                   honours=frozenset(["generator"]), access=frozenset({access!r}))]
"""
LOOP = """
import time
import torch

class Loop:
    def __init__(self, parts):
        self.parts, self.steps = parts, 0
        self.total = sum(planned.rounds for planned in parts.phases)

    @property
    def done(self):
        return self.steps >= self.total

    def teach(self, teacher=None):
        parts = self.parts
        images = parts.generator.sample(parts.batch_size).images
        with torch.no_grad():
            target = (teacher or parts.teachers[0])(images).logits
        with parts.meter.student_step():
            loss = (parts.student(images) - target).abs().mean()
            parts.student_stepper.zero_grad()
            loss.backward()
            parts.student_stepper.step()

    def advance(self):
        self.spend()
        self.teach()
        self.steps += 1

    def state_dict(self):
        return dict(steps=self.steps)

    def load_state_dict(self, state):
        self.steps = state["steps"]

    def spend(self):
        {spend}
"""
ASKS = "[self.parts.teachers[0](self.parts.generator.sample(512).images) for _ in range(8)]"
TRAINS = "[self.parts.student(self.parts.generator.sample(512).images).sum() for _ in range(8)]"


@pytest.fixture
def spend(tmp_path: Path, site: Path, make_distribution: Callable[..., str]) -> Callable[..., Any]:
    """Runs a method whose own loop does something before each of its honest steps; gives the process and its record."""

    def run(spend: str, access: set[str] | frozenset[str] = frozenset({"soft_labels", "input_gradients"})) -> Any:
        if not (site / "spender").exists():
            make_distribution("spender", PLUGIN.format(access=set(access)))
            (site / "spender" / "loop.py").write_text(textwrap.dedent(LOOP.format(spend=spend)))
        command = [sys.executable, "-m", "dfkdbench", "run", "--plugin", "spender", "--dataset", "digits"]
        command += ["--budget", "smoke", "--threads", "1", "--json", "--out", str(tmp_path / "runs")]
        path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=300)
        assert done.stdout, done.stderr
        (record,) = json.loads(done.stdout)
        return SimpleNamespace(process=done, record=record)

    return run


def smoke_plan(registry: Registry) -> Any:
    return prepare(Request(plugin="noise", dataset="digits", budget="smoke", device="cpu"), Console(), registry)


def test_own_loop__that_stays_within_its_budget_finishes_with_everything_counted(spend: Callable[..., Any]) -> None:
    record = spend("pass").record
    assert (record["status"], record["error"]) == ("finished", "")
    assert record["student_samples"] == record["teacher_queries"] == 2_560


@pytest.mark.parametrize(
    ("excess", "counted"), [(ASKS, "teacher_queries"), (TRAINS, "student_samples")], ids=["asks", "trains"]
)
def test_own_loop__over_budget_is_stopped_and_its_record_says_so(
    spend: Callable[..., Any], excess: str, counted: str
) -> None:
    ended = spend(excess)
    limit = {"teacher_queries": 15_360, "student_samples": 2_560}[counted]
    assert ended.record["status"] == "over-budget"
    assert ended.record["accuracy_final"] is None
    assert limit < ended.record[counted] <= limit + 512
    assert f"{counted.replace('_', ' ')}, and the tier has {limit:,}" in ended.record["error"]
    again = spend(excess)
    assert again.record == ended.record
    assert "over-budget" in ended.process.stderr


def test_own_loop__that_swallows_the_error_is_found_out_by_the_judge(spend: Callable[..., Any]) -> None:
    record = spend(f"""
        try:
            {ASKS}
        except Exception:
            pass
        self.parts.meter._limits = dict()
    """).record
    assert record["status"] == "over-budget"


def test_labels_only__a_loop_that_turns_its_meter_back_gets_no_more_answers(spend: Callable[..., Any]) -> None:
    record = spend(f"{ASKS}; self.parts.meter.teacher_queries = 0", access={"soft_labels"}).record
    assert record["status"] == "over-budget"
    assert "teacher queries, and the tier has 15,360" in record["error"]


def test_loop_that_never_returns__is_ended_by_the_judges_clock(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = smoke_plan(registry)
    plan = prepared.plan(0)
    plan = plan.model_copy(update={"budget": plan.budget.model_copy(update={"device_seconds": 0})})
    monkeypatch.setattr(Clock, "GRACE", 0.0)
    result = execute(plan, tmp_path, prepared.bench(plan))
    assert result.status == "over-budget"
    assert "device seconds, and the tier has 0" in result.error


def test_device_seconds__end_a_run_between_two_rounds(tmp_path: Path, registry: Registry) -> None:
    prepared = smoke_plan(registry)
    plan = prepared.plan(0)
    plan = plan.model_copy(update={"budget": plan.budget.model_copy(update={"device_seconds": 0})})
    result = execute(plan, tmp_path, prepared.bench(plan))
    assert result.status == "over-budget"
    assert 0 < result.student_samples < 2_560


def test_clock__counts_the_seconds_of_earlier_starts() -> None:
    plan = SimpleNamespace(budget=SimpleNamespace(device_seconds=100))
    assert Clock(plan, 100 + Clock.GRACE - 5).excess() == ""  # type: ignore[arg-type]
    assert "and the tier has 100" in Clock(plan, 100 + Clock.GRACE + 1).excess()  # type: ignore[arg-type]


def test_meter__counts_a_watched_student_only_where_its_weights_are_in_the_graph() -> None:
    meter, student, images = Meter(), nn.Linear(3, 2), torch.zeros(5, 3)
    meter.watch(student)
    with torch.no_grad():
        student(images)
    student.requires_grad_(False)
    student(images)
    student.requires_grad_(True)
    assert meter.student_samples == 0
    student(images)
    with meter.student_step():
        student(images[:2])
    assert (meter.student_samples, meter.student_steps) == (7, 1)
    with meter.student_step(4):
        student(images)
    assert (meter.student_samples, meter.student_steps) == (11, 2)


def test_meter__spends_the_last_of_a_budget_and_nothing_beyond() -> None:
    meter = Meter({"teacher_queries": 8, "student_samples": 0})
    meter.count_question(torch.zeros(2, 1))
    meter.count_question(torch.zeros(3, 1, requires_grad=True))
    assert meter.teacher_queries == 8
    with torch.no_grad(), pytest.raises(OverBudgetError, match="9 teacher queries, and the tier has 8"):
        meter.count_question(torch.zeros(1, 1, requires_grad=True))
    with meter.student_step(1_000_000):
        pass


def test_limits__are_for_each_teacher_and_none_at_the_papers_own_budget(registry: Registry) -> None:
    def plan(**more: Any) -> Plan:
        request = Request(plugin="noise", dataset="digits", device="cpu", **more)
        return prepare(request, Console(), registry).plan(0)

    assert plan(budget="smoke").limits == {"student_samples": 2_560, "teacher_queries": 15_360}
    assert plan(budget="smoke", teacher_count=2).limits == {"student_samples": 2_560, "teacher_queries": 30_720}
    paper = plan(budget="paper", settings=("phases.distil.rounds=3",))
    assert set(paper.limits.values()) == {0}


def test_run__says_beforehand_that_a_plan_will_not_fit(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    prepared = smoke_plan(registry)
    plan = prepared.plan(0)
    assert expected_queries(plan) == 2_560
    generator = plan.slots["generator"].model_copy(update={"provides": ("images_with_gradient",)})
    greedy = plan.model_copy(update={"slots": {**plan.slots, "generator": generator}, "generator_steps": 1_000})
    assert expected_queries(greedy) == 2_560 + 2 * 1_000 * plan.recipe.batch_size
    Console().introduce(plan, prepared)
    assert "over-budget" not in capsys.readouterr().err
    Console().introduce(greedy, prepared)
    assert "the tier has 15,360: the run would end as" in " ".join(capsys.readouterr().err.split())


def test_docs__tiers_are_those_of_the_data_sets(registry: Registry) -> None:
    text = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    documented = {
        (name.strip("` "), tier): [0 if "own" in figure else int(figure.replace(",", "")) for figure in figures]
        for names, tier, *figures in rows
        for name in names.split(",")
    }
    assert documented == {
        (name, tier): [budget.student_samples, budget.teacher_queries, budget.device_seconds, budget.evaluations]
        for name, dataset in registry.datasets.items()
        for tier, budget in dataset.item.budgets.items()
    }

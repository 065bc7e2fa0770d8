"""Captured rounds: the same student as eager ones, and an eager run with its reason where that can't be had.

Graphs themselves need a CUDA device (test_gpu.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from capturing import ROUNDS, TapeRecorder, eager, planned, recorded, state_of

from dfkdbench.budgets import OverBudgetError
from dfkdbench.capture import LONGEST_ROUND, WARM_UP
from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.recipe import Phase
from dfkdbench.timing.untrained import untrained_assembly
from dfkdbench.trial import Trial, first_difference

pytestmark = pytest.mark.usefixtures("in_a_dispatch_mode")

CAPTURED = {
    "dafl": {},
    "rdskd": {},
    "dfad": {"settings": ('student.schedule="cosine"', "student.warmup=0.5")},
    "zskt": {},
    "dfq": {"pair": "resnet_s:resnet_xs"},
    "noise": {},
    "random-generator": {},
    "cdfkd_mfs": {"pair": "resnet_s:mh3_resnet_xs", "teacher_count": 3},
}


@pytest.mark.parametrize("plugin", CAPTURED)
def test_rounds__captured_ones_leave_every_part_as_eager_ones(plugin: str) -> None:
    plan = planned(plugin, **CAPTURED[plugin])
    with recorded(plan) as (assembly, rounds):
        for _ in range(ROUNDS):
            rounds.advance()
        assert rounds.capture.model_dump() == {"state": "graph", "why": "", "together": 1}
        assert first_difference(eager(plan, ROUNDS), state_of(assembly)) == ""


def test_rounds__go_on_from_a_checkpoint(tmp_path: Path) -> None:
    plan = planned("zskt")
    with recorded(plan) as (assembly, rounds):
        for _ in range(ROUNDS):
            rounds.advance()
        save_tree(assembly.state_dict(), tmp_path / "state.safetensors")
    with recorded(plan) as (assembly, rounds):
        assembly.load_state_dict(load_tree(tmp_path / "state.safetensors"))
        for _ in range(ROUNDS):
            rounds.advance()
        assert rounds.capture.state == "graph"
        resumed = Trial(assembly).state
    expected = eager(plan, 2 * ROUNDS)
    del expected["means"]
    assert first_difference(expected, resumed) == ""


def test_rounds__means_are_reported_as_of_eager_ones() -> None:
    reported = []
    for captured in (False, True):
        with recorded(planned("dafl")) as (assembly, rounds):
            means = []
            for _ in range(ROUNDS):
                (rounds if captured else assembly.loop).advance()
                means.append(assembly.meter.flush())
            reported.append(means)
    assert reported[0] == reported[1]


def count_on_the_host(generator: Any) -> None:
    state, generator.count = generator.state_dict, 0

    def fit(self: Any) -> None:
        self.count += 1

    _extend(generator, fit, lambda: {**state(), "count": generator.count})


def keep_a_mean_anew(generator: Any) -> None:
    state, generator.mean = generator.state_dict, torch.zeros(())

    def fit(self: Any) -> None:
        self.mean = 0.9 * self.mean + 1.0

    _extend(generator, fit, lambda: {**state(), "mean": generator.mean})


def _extend(generator: Any, more: Callable[[Any], None], state_dict: Callable[[], Any]) -> None:
    fit, load = generator.fit, generator.load_state_dict

    def both(objective: Any, steps: int) -> None:
        more(generator)
        fit(objective, steps)

    def load_state_dict(state: dict[str, Any]) -> None:
        (name,) = {"count", "mean"} & {*state}
        setattr(generator, name, state[name])
        load({key: value for key, value in state.items() if key != name})

    generator.fit, generator.state_dict, generator.load_state_dict = both, state_dict, load_state_dict


def read_the_device(generator: Any) -> None:
    fit = generator.fit

    def reading(objective: Any, steps: int) -> None:
        fit(objective, steps if torch.ones(()).item() else 0)

    generator.fit = reading


def spend_at_random(generator: Any) -> None:
    fit, rounds = generator.fit, iter(range(100))

    def uneven(objective: Any, steps: int) -> None:
        fit(objective, 1 + next(rounds) % 2)

    generator.fit = uneven


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (count_on_the_host, "a captured round leaves another generator.count than an eager one"),
        (keep_a_mean_anew, "a captured round leaves another generator.mean than an eager one"),
        (read_the_device, "capturing failed: RuntimeError: a number was read from the device"),
        (spend_at_random, "rounds spend or report different amounts"),
    ],
)
def test_rounds__what_python_does_in_a_round_keeps_it_eager(spoil: Callable[[Any], None], why: str) -> None:
    with recorded(planned("dafl")) as (assembly, rounds):
        spoil(assembly.generator)
        for _ in range(ROUNDS):
            rounds.advance()
        assert rounds.capture.state == "eager"
        assert why in rounds.capture.why


@pytest.mark.parametrize("recorder", [TapeRecorder(breaks=True), TapeRecorder(waits=True)], ids=["breaks", "waits"])
def test_rounds__a_failure_leaves_no_trace(recorder: TapeRecorder) -> None:
    plan = planned("zskt")
    with recorded(plan, recorder) as (assembly, rounds):
        for _ in range(ROUNDS):
            rounds.advance()
        assert rounds.capture.state == "eager"
        assert rounds.capture.why == "capturing failed: RuntimeError: operation not permitted"
        assert first_difference(eager(plan, ROUNDS), state_of(assembly)) == ""


def test_rounds__the_budget_holds_for_captured_ones() -> None:
    plan = planned("dafl")
    with untrained_assembly(plan) as assembly:
        assembly.loop.advance()
        queries = assembly.meter.teacher_queries
    limited = plan.model_copy(update={"budget": plan.budget.model_copy(update={"teacher_queries": ROUNDS * queries})})
    with recorded(limited) as (assembly, rounds):
        for _ in range(ROUNDS):
            rounds.advance()
        assert rounds.capture.state == "graph"
        student = assembly.student.state_dict()["fc.weight"].clone()
        with pytest.raises(OverBudgetError):
            rounds.advance()
        assert torch.equal(student, assembly.student.state_dict()["fc.weight"])


def test_rounds__every_phase_is_told_apart() -> None:
    plan = planned("deepinversion", pair="resnet_s:resnet_xs")
    first, second = plan.phases
    first = first.model_copy(update={"rounds": 1})
    with recorded(plan.model_copy(update={"phases": (first, second)})) as (_, rounds):
        for _ in range(ROUNDS + 1):
            rounds.advance()
        assert rounds.capture.state == "graph"
        assert rounds.capture.why == f"{first.name}: it has 1 rounds, and the first {WARM_UP} are never captured"


def test_rounds__long_ones_are_not_tried() -> None:
    plan = planned("dafl")
    phase = plan.phases[0].model_copy(update={"phase": Phase(generator_steps=LONGEST_ROUND)})
    with recorded(plan.model_copy(update={"phases": (phase,)})) as (_, rounds):
        rounds.advance()
        assert rounds.capture.why == f"a round has {LONGEST_ROUND + 1} steps, and up to {LONGEST_ROUND} are captured"

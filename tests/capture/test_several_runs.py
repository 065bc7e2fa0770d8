"""Captured rounds of several runs: each is left as it would be alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from capturing import ROUNDS, TapeRecorder, eager, planned, state_of

from dfkdbench.budgets import OverBudgetError
from dfkdbench.capture import WARM_UP, Lane, RecordedRounds, build_common_rounds
from dfkdbench.plan import Plan
from dfkdbench.rng import OwnGlobals
from dfkdbench.timing.untrained import untrained_assembly
from dfkdbench.trial import first_difference

pytestmark = pytest.mark.usefixtures("in_a_dispatch_mode")


def lanes_of(stack: ExitStack, plans: Sequence[Plan]) -> list[Lane]:
    """Runs in this process, each with random numbers of the framework of its own."""
    lanes = []
    for plan in plans:
        randomness = OwnGlobals(torch.device("cpu"))
        with randomness.in_force():
            torch.manual_seed(0)
            lanes.append(Lane(stack.enter_context(untrained_assembly(plan)), randomness.in_force))
    return lanes


def own_state(lane: Lane) -> dict[str, Any]:
    with lane.own():
        return state_of(lane.assembly)


def of_two_seeds(plugin: str, **more: Any) -> list[Plan]:
    return [planned(plugin, seeds=(seed,), **more) for seed in (0, 1)]


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def working_type(request: pytest.FixtureRequest) -> Iterator[None]:
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("working_type")
@pytest.mark.parametrize("captured", [True, False], ids=["captured", "eager"])
@pytest.mark.parametrize("plugin", ["dafl", "rdskd", "zskt"])
def test_rounds__of_several_runs_leave_each_as_its_own(plugin: str, captured: bool) -> None:
    plans = of_two_seeds(plugin, replay="bank" if plugin == "rdskd" else None)
    with ExitStack() as stack:
        lanes = lanes_of(stack, plans)
        rounds = RecordedRounds(lanes, TapeRecorder()) if captured else build_common_rounds(lanes, "off")
        for _ in range(ROUNDS):
            rounds.advance()
        assert (rounds.capture.state, rounds.capture.together) == ("graph" if captured else "eager", 2)
        for plan, lane in zip(plans, lanes, strict=True):
            assert lane.assembly.student.state_dict()["fc.weight"].dtype == torch.get_default_dtype()
            assert first_difference(eager(plan, ROUNDS), own_state(lane)) == ""


def test_rounds__of_those_that_are_left_are_captured_anew() -> None:
    plans = of_two_seeds("dafl")
    with ExitStack() as stack:
        lanes = lanes_of(stack, plans)
        recorder = TapeRecorder()
        rounds = RecordedRounds(lanes, recorder)
        for _ in range(ROUNDS):
            rounds.advance()
        left = own_state(lanes[0])
        rounds.keep(lanes[1:])
        for _ in range(ROUNDS):
            rounds.advance()
        assert recorder.recorded == 2
        assert rounds.capture.model_dump() == {"state": "graph", "why": "", "together": 2}
        assert first_difference(left, {**own_state(lanes[0]), "means": left["means"]}) == ""
        expected = eager(plans[1], 2 * ROUNDS)
        assert first_difference(expected, own_state(lanes[1])) == ""


def test_rounds__of_runs_in_different_phases_are_eager_until_they_are_in_one() -> None:
    plans = []
    for plan in of_two_seeds("deepinversion", pair="resnet_s:resnet_xs"):
        first, second = plan.phases
        plans.append(plan.model_copy(update={"phases": (first.model_copy(update={"rounds": 2}), second)}))
    with ExitStack() as stack:
        lanes = lanes_of(stack, plans)
        with lanes[1].own():
            lanes[1].loop.advance()
        recorder = TapeRecorder()
        rounds = RecordedRounds(lanes, recorder)
        recorded_after = []
        for _ in range(2 + WARM_UP + 1):
            rounds.advance()
            recorded_after.append(recorder.recorded)
        assert recorded_after == [0] * (2 + WARM_UP) + [1]
        for plan, lane, before in zip(plans, lanes, (0, 1), strict=True):
            assert first_difference(eager(plan, before + 2 + WARM_UP + 1), own_state(lane)) == ""


def test_rounds__that_draw_numbers_of_the_framework_are_captured_alone_and_not_together() -> None:
    plans = of_two_seeds("dafl")
    with ExitStack() as stack:
        lanes = lanes_of(stack, plans)
        for lane in lanes:
            draw_for_all(lane.assembly.generator)
        rounds = RecordedRounds(lanes, TapeRecorder())
        for _ in range(ROUNDS):
            rounds.advance()
        assert rounds.capture.state == "eager"
        assert "draws the framework's own random numbers" in rounds.capture.why
        with lanes[0].own():
            mine = torch.get_rng_state()
        with lanes[1].own():
            assert torch.equal(mine, torch.get_rng_state())


def draw_for_all(generator: Any) -> None:
    fit = generator.fit

    def drawing(objective: Any, steps: int) -> None:
        torch.rand(())
        fit(objective, steps)

    generator.fit = drawing


def test_rounds__of_several_runs_end_one_that_is_over_its_budget_alone() -> None:
    plans = of_two_seeds("dafl")
    with untrained_assembly(plans[0]) as assembly:
        assembly.loop.advance()
        queries = assembly.meter.teacher_queries
    budget = plans[0].budget.model_copy(update={"teacher_queries": ROUNDS * queries})
    plans[0] = plans[0].model_copy(update={"budget": budget})
    ended: list[OverBudgetError] = []

    @contextmanager
    def ending() -> Iterator[None]:
        try:
            yield
        except OverBudgetError as error:
            ended.append(error)

    with ExitStack() as stack:
        first, second = lanes_of(stack, plans)
        rounds = RecordedRounds([first._replace(guarded=ending), second], TapeRecorder())
        for _ in range(ROUNDS):
            rounds.advance()
        assert not ended
        rounds.advance()
        assert len(ended) == 1
        assert first_difference(eager(plans[1], ROUNDS + 1), own_state(second)) == ""

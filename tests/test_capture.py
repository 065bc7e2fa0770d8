"""Captured rounds: the same student as eager ones, and an eager run with its reason where that can't be had.

Graphs themselves need a CUDA device (test_gpu.py). Here a tape of operations stands for them, which repeats what the
device was asked to do, to the same memory, without any Python of the round.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dfkdbench.assembly import Assembly
from dfkdbench.bench import Request
from dfkdbench.budgets import OverBudgetError
from dfkdbench.capture import (
    LONGEST_ROUND,
    WARM_UP,
    Lane,
    RecordedRounds,
    build_common_rounds,
    build_rounds,
    in_short,
    why_eager,
)
from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.parts import optimizers
from dfkdbench.parts.schedules import DeviceRate
from dfkdbench.plan import Plan
from dfkdbench.recipe import Phase
from dfkdbench.registry import load_registry
from dfkdbench.reports import Capture
from dfkdbench.rng import OwnGlobals
from dfkdbench.shortcuts import SHORTCUTS, use_shortcuts
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly
from dfkdbench.trial import Trial, first_difference
from dfkdbench.workerprocess import training_environment

ROUNDS = WARM_UP + 3


class Tape(TorchDispatchMode):
    """Repeats operations on the tensors that they were recorded with."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.done.append((func, args, kwargs or {}, [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]))
        return made

    @torch.no_grad()
    def repeat(self) -> None:
        for func, args, kwargs, former in self.done:
            made = [leaf for leaf in tree_leaves(func(*args, **kwargs)) if isinstance(leaf, Tensor)]
            for old, new in zip(former, made, strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Watch(TorchDispatchMode):
    """Refuses what waits for a device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("a number was read from the device")
        return func(*args, **(kwargs or {}))


class TapeRecorder:
    """Records on tapes, and may break off: while it records, or when a round waits for the device."""

    def __init__(self, breaks: bool = False, waits: bool = False) -> None:
        self.breaks, self.waits = breaks, waits
        self.recorded = 0

    def beside(self, runs: Sequence[Callable[[], None]]) -> Callable[[], None]:
        def run_all() -> None:
            for run in runs:
                run()

        return run_all

    @contextmanager
    def watch(self) -> Iterator[None]:
        with Watch():
            yield
        if self.waits:
            raise RuntimeError("operation not permitted")

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        with Tape() as tape:
            run()
        if self.breaks:
            raise RuntimeError("operation not permitted\nand more")
        self.recorded += 1
        return tape.repeat


@pytest.fixture(autouse=True)
def rates_on_the_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(optimizers, "_rate", lambda options, planned, like, _fused: DeviceRate(options, planned, like))
    yield
    use_shortcuts(SHORTCUTS)


def planned(plugin: str, settings: tuple[str, ...] = (), **more: Any) -> Plan:
    given = ("batch_size=8", *settings)
    request = Request(plugin=plugin, dataset="digits", budget="smoke", device="cpu", settings=given, **more)
    return plan_untrained(load_registry(), request)


@contextmanager
def recorded(plan: Plan, recorder: TapeRecorder | None = None) -> Iterator[tuple[Assembly, RecordedRounds]]:
    torch.manual_seed(0)
    with untrained_assembly(plan) as assembly:
        yield assembly, RecordedRounds([Lane(assembly)], recorder or TapeRecorder())


def state_of(assembly: Assembly) -> dict[str, Any]:
    return {**Trial(assembly).state, "means": assembly.meter.flush()}


def eager(plan: Plan, rounds: int) -> dict[str, Any]:
    torch.manual_seed(0)
    with untrained_assembly(plan) as assembly:
        for _ in range(rounds):
            assembly.loop.advance()
        return state_of(assembly)


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


@pytest.mark.parametrize(
    ("plugin", "mode", "plain", "changes", "why"),
    [
        ("dafl", "auto", False, {}, "there is no CUDA device"),
        ("dafl", "graph", False, {}, "there is no CUDA device"),
        ("dafl", "off", False, {}, "capture is off"),
        ("dafl", "graph", True, {}, "the run is plain, without exact shortcuts"),
        ("dafl", "graph", False, {"device": "cuda", "loop": "a:b"}, "the method has a loop of its own"),
        ("noise", "graph", False, {"device": "cuda"}, "the teachers answer from another process"),
        ("dafl", "graph", False, {"device": "cuda:1"}, ""),
    ],
)
def test_why_eager(plugin: str, mode: str, plain: bool, changes: dict[str, str], why: str) -> None:
    use_shortcuts(() if plain else SHORTCUTS)
    assert why_eager(planned(plugin).model_copy(update=changes), mode) == why


def test_in_short__one_line_that_reports_can_hold() -> None:
    told = in_short(ValueError("x" * 10_000 + "\nmore"))
    assert told.startswith("ValueError: xxx")
    assert Capture(state="eager", why=told).told() == f"eager: {told}"


def test_build_rounds__eager_ones_are_the_loops_own() -> None:
    with untrained_assembly(planned("dafl")) as assembly:
        rounds = build_rounds(assembly, "auto")
        rounds.advance()
        assert assembly.meter.student_steps == 1
        assert rounds.capture.told() == "eager: there is no CUDA device"


def test_first_difference__names_the_place() -> None:
    tree = {"a": [torch.zeros(2), 1], "b": {"c": None, "d": 0.5}}
    assert first_difference(tree, {"a": [torch.zeros(2), 1], "b": {"c": None, "d": 0.5}}) == ""
    assert first_difference(tree, {**tree, "a": [torch.tensor([0.0, -1.0]), 1]}) == "a.0"
    assert first_difference(tree, {**tree, "a": [torch.zeros(2, dtype=torch.float64), 1]}) == "a.0"
    assert first_difference(tree, {**tree, "a": [torch.zeros(2), True]}) == "a.1"
    assert first_difference(tree, {**tree, "b": {"c": None}}) == "b.d"
    assert first_difference(tree, {**tree, "e": 1}) == "e"


COMPILED = """
import sys
import torch
from dfkdbench.bench import Request
from dfkdbench.capture import build_rounds
from dfkdbench.registry import load_registry
from dfkdbench.reports import Capture
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly
from dfkdbench.trial import Trial, first_difference

torch.set_default_dtype(torch.float64)
settings = ("batch_size=4", "generator.channels=[8,8,8]")
request = Request(plugin="dafl", dataset="digits", budget="smoke", device="cpu", settings=settings)
students = []
for mode in ("off", "compile"):
    with untrained_assembly(plan_untrained(load_registry(), request)) as assembly:
        rounds = build_rounds(assembly, mode)
        for _ in range(3):
            rounds.advance()
        students.append(torch.cat([value.flatten() for value in assembly.student.parameters()]))
        print(rounds.capture.state, rounds.capture.why)
assert students[0].dtype == torch.float64
print((students[0] - students[1]).abs().max().item())
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler on this machine")
def test_compile__gives_the_student_of_eager_rounds(tmp_path: Path) -> None:
    environment = training_environment(tmp_path, tmp_path, 1)
    command = [sys.executable, "-P", "-c", COMPILED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    eager_one, compiled, difference = done.stdout.splitlines()
    assert (eager_one.strip(), compiled.strip()) == ("eager capture is off", "compile")
    assert 0 <= float(difference) < 1e-6


def test_compile__without_a_compiler_rounds_are_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with untrained_assembly(planned("dafl")) as assembly:
        rounds = build_rounds(assembly, "compile")
        rounds.advance()
        assert rounds.capture.told() == "eager: there is no C++ compiler"
        assert "forward" not in vars(assembly.student)


def test_compile__a_failure_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile(forward: Callable[..., Tensor], **_: Any) -> Callable[..., Tensor]:
        def fail(*arguments: Any) -> Tensor:
            forward(*arguments)
            raise RuntimeError("the compiler crashed")

        return fail

    monkeypatch.setattr(torch, "compile", compile)
    plan = planned("dafl")
    torch.manual_seed(0)
    with untrained_assembly(plan) as assembly:
        rounds = build_rounds(assembly, "compile")
        for _ in range(2):
            rounds.advance()
        assert rounds.capture.told() == "eager: compiling failed: RuntimeError: the compiler crashed"
        assert first_difference(eager(plan, 2), state_of(assembly)) == ""

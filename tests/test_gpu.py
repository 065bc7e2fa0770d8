"""What only a CUDA device shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import torch

import dfkdbench
from dfkdbench.assembly import Assembly
from dfkdbench.bench import Request
from dfkdbench.capture import WARM_UP, Lane, build_common_rounds, build_rounds
from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.devices import prepare_torch
from dfkdbench.loop import ImageObjective
from dfkdbench.plan import Plan
from dfkdbench.registry import load_registry
from dfkdbench.rng import OwnGlobals
from dfkdbench.shortcuts import SHORTCUTS
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly
from dfkdbench.trial import Trial, first_difference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device on this machine"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_run__on_a_cuda_device_under_the_seal(tmp_path, precision):
    (result,) = dfkdbench.run(
        plugin="random-generator",
        dataset="digits",
        budget="smoke",
        settings={"precision": precision},
        device="cuda",
        out=tmp_path,
    )
    assert result.status == "finished", result.error
    assert result.hardware == torch.cuda.get_device_name()
    assert result.peak_memory_mb > 0


def test_run__the_same_seed_gives_the_same_student_twice(tmp_path):
    options = {"plugin": "random-generator", "dataset": "digits", "budget": "smoke", "device": "cuda"}
    (first,) = dfkdbench.run(**options, out=tmp_path / "first")
    (second,) = dfkdbench.run(**options, out=tmp_path / "second")
    assert first.student_sha256 == second.student_sha256


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two CUDA devices on this machine")
@pytest.mark.parametrize("pair", ["lenet_s:lenet_xs", "resnet_s:resnet_xs"])
def test_run__by_two_processes_on_a_device_each(tmp_path, pair):
    options = {"plugin": "random-generator", "dataset": "digits", "pair": pair, "budget": "smoke", "device": "cuda"}
    options |= {"generator": "conv", "losses": ("one_hot=1",), "settings": {"phases.distil.generator_steps": 1}}
    (one,) = dfkdbench.run(**options, out=tmp_path / "one")
    (two,) = dfkdbench.run(**options, processes=2, out=tmp_path / "two")
    assert two.status == "finished", two.error
    assert (two.processes, two.batch_statistics) == (2, "synchronised")
    assert (two.student_samples, two.teacher_queries) == (one.student_samples, one.teacher_queries)


@contextmanager
def assembled(plugin: str, *settings: str) -> Iterator[Assembly]:
    prepare_torch(torch.device("cuda"), 1, SHORTCUTS)
    torch.manual_seed(0)
    with untrained_assembly(untrained_plan(plugin, 0, *settings)) as assembly:
        yield assembly


def untrained_plan(plugin: str, seed: int, *settings: str) -> Plan:
    request = Request(plugin=plugin, dataset="digits", budget="smoke", device="cuda", settings=settings, seeds=(seed,))
    return plan_untrained(load_registry(), request)


GRAPHS = {
    "dafl": (),
    "dfad": ('student.schedule="cosine"', "student.warmup=0.5"),
    "zskt": ('precision="bf16"',),
}


@pytest.mark.parametrize("plugin", GRAPHS)
def test_graph__leaves_every_part_as_eager_rounds(plugin):
    states = []
    for mode in ("off", "graph"):
        with assembled(plugin, *GRAPHS[plugin]) as assembly:
            rounds = build_rounds(assembly, mode)
            for _ in range(WARM_UP + 4):
                rounds.advance()
            states.append(Trial(assembly).state)
    assert rounds.capture.model_dump() == {"state": "graph", "why": "", "together": 1}
    assert first_difference(*states) == ""


@pytest.mark.parametrize("mode", ["off", "graph"])
def test_round__never_waits_for_the_device(mode):
    with assembled("dafl") as assembly:
        rounds = build_rounds(assembly, mode)
        for _ in range(WARM_UP + 2):
            rounds.advance()
        torch.cuda.set_sync_debug_mode("error")
        try:
            rounds.advance()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_graph__goes_on_from_a_checkpoint(tmp_path):
    states = []
    for stops in (False, True):
        with assembled("zskt") as assembly:
            rounds = build_rounds(assembly, "graph")
            for _ in range(WARM_UP + 2):
                rounds.advance()
            if not stops:
                for _ in range(WARM_UP + 2):
                    rounds.advance()
                states.append(Trial(assembly).state)
            else:
                save_tree(assembly.state_dict(), tmp_path / "state.safetensors")
    with assembled("zskt") as assembly:
        assembly.load_state_dict(load_tree(tmp_path / "state.safetensors"))
        rounds = build_rounds(assembly, "graph")
        for _ in range(WARM_UP + 2):
            rounds.advance()
        assert rounds.capture.state == "graph"
        states.append(Trial(assembly).state)
    assert first_difference(*states) == ""


def test_graph__of_several_runs_leaves_each_as_its_own():
    """Each run's round is a branch of the graph."""
    device = torch.device("cuda")
    plans = [untrained_plan("dafl", seed) for seed in (0, 1, 2)]

    def states_after(rounds_of, chosen):
        with ExitStack() as stack:
            lanes = []
            for plan in chosen:
                torch.manual_seed(0)
                lanes.append(Lane(stack.enter_context(untrained_assembly(plan)), OwnGlobals(device).in_force))
            rounds = rounds_of(lanes)
            for _ in range(WARM_UP + 4):
                rounds.advance()
            return rounds.capture, [Trial(lane.assembly).state for lane in lanes]

    prepare_torch(device, 1, SHORTCUTS)
    capture, together = states_after(lambda lanes: build_common_rounds(lanes, "graph"), plans)
    assert capture.model_dump() == {"state": "graph", "why": "", "together": 3}
    for plan, state in zip(plans, together, strict=True):
        _, (alone,) = states_after(lambda lanes: build_common_rounds(lanes, "off"), [plan])
        for own in ("global_rng", "cuda_rng"):
            del state[own], alone[own]
        assert first_difference(alone, state) == ""


def test_graph__what_breaks_a_capture_off_leaves_no_trace(monkeypatch):
    """The objective fails while it is captured and at no other time: random generators are free again."""
    whole = ImageObjective.__call__

    def broken(self, images, *more):
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError("not in a graph")
        return whole(self, images, *more)

    monkeypatch.setattr(ImageObjective, "__call__", broken)
    states = []
    for mode in ("off", "graph"):
        with assembled("dafl") as assembly:
            rounds = build_rounds(assembly, mode)
            for _ in range(WARM_UP + 3):
                rounds.advance()
            states.append(Trial(assembly).state)
    assert rounds.capture.state == "eager"
    assert "not in a graph" in rounds.capture.why
    assert first_difference(*states) == ""


def test_record__of_a_captured_run_says_so(tmp_path):
    options = {"plugin": "dafl", "dataset": "digits", "budget": "smoke", "device": "cuda"}
    (captured,) = dfkdbench.run(**options, out=tmp_path / "captured")
    (eager,) = dfkdbench.run(**options, out=tmp_path / "eager", capture="off")
    assert captured.capture.state == "graph"
    assert eager.capture.told() == "eager: capture is off"
    assert captured.run_id == eager.run_id
    assert captured.student_sha256 == eager.student_sha256

"""What a timing says: parts that make up a round, counts that are right, and errors that help."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dfkdbench.assembly import Assembly
from dfkdbench.bench import Request
from dfkdbench.cli import main
from dfkdbench.errors import PlanError
from dfkdbench.filtering import filter_minimally
from dfkdbench.plan import Plan
from dfkdbench.registry import load_registry
from dfkdbench.timing.measure import measure, packed_products
from dfkdbench.timing.split import PARTS, Stopwatch, time_parts
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly


def planned(plugin: str, **more: Any) -> Plan:
    settings = ("batch_size=8",)
    request = Request(plugin=plugin, dataset="digits", budget="smoke", device="cpu", settings=settings, **more)
    return plan_untrained(load_registry(), request)


def hooks_of(assembly: Assembly) -> int:
    networks = (assembly.student, assembly.generator.network, *assembly.teacher_networks)
    return sum(len(network._forward_hooks) + len(network._forward_pre_hooks) for network in networks)


def test_untrained__is_built_as_any_run_and_has_no_limits() -> None:
    plan = planned("dafl", teacher_count=2, aggregator="mean")
    assert plan.limits == {"student_samples": 0, "teacher_queries": 0}
    with untrained_assembly(plan) as assembly:
        first, second = (next(network.parameters()) for network in assembly.teacher_networks)
        assert not torch.equal(first, second)
        assembly.loop.advance()
        assert assembly.meter.student_steps == 1


def test_untrained__refuses_what_needs_real_samples() -> None:
    with pytest.raises(PlanError, match="'real-data' trains on real samples"):
        planned("real-data")


def test_stopwatch__time_goes_to_the_innermost_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr("dfkdbench.timing.split.time.perf_counter", lambda: next(now))
    watch = Stopwatch(torch.device("cpu"))
    inner = watch.around("teachers", lambda: None)
    watch.around("backward", lambda: (inner(), inner()))()
    expected = {"losses and rest": 1, "backward": 3, "teachers": 2}
    assert watch.seconds == {part: expected.get(part, 0) for part in PARTS}


def test_parts__every_one_that_works_has_time_and_nothing_stays_patched() -> None:
    backward = torch.autograd.backward
    with untrained_assembly(planned("mb_dfkd")) as assembly:
        hooks = hooks_of(assembly)
        seconds = time_parts(assembly, 2)
        assert hooks_of(assembly) == hooks
    assert torch.autograd.backward is backward
    assert set(seconds) == set(PARTS)
    assert all(seconds.values())


def test_measure__counts_are_those_of_one_round() -> None:
    plan = planned("dfad")
    cost = measure(plan, 1)
    phase = plan.phases[0].phase
    assert cost.student_samples == 8 * phase.student_steps
    assert cost.teacher_queries == 8 * phase.student_steps + 2 * 8 * phase.generator_steps
    assert cost.flops > 0
    assert cost.utilisation == pytest.approx(100 * cost.flops / cost.seconds / cost.peak_flops)
    with untrained_assembly(planned("noise")) as assembly:
        assert assembly.meter.teacher_queries == 0
    twice = measure(plan.model_copy(update={"recipe": plan.recipe.model_copy(update={"batch_size": 16})}), 1)
    assert twice.flops == pytest.approx(2 * cost.flops, rel=0.01)


def test_packed_products__are_counted() -> None:
    layer = filter_minimally(nn.Sequential(nn.Conv2d(256, 300, 3, padding=1).requires_grad_(False)))
    maps = torch.randn(16, 256, 4, 4)
    layer(maps)
    with FlopCounterMode(display=False, custom_mapping=packed_products()) as counter:
        layer(maps)
    patches = 16 * 2 * 2
    assert counter.get_total_flops() == 16 * 2 * patches * 256 * 300


def call(*arguments: str) -> Result:
    cell = ("--dataset", "digits", "--budget", "smoke", "--device", "cpu")
    return CliRunner().invoke(main, ["bench", *cell, *arguments])


def test_command__prints_a_table_or_one_object() -> None:
    shown = call("--plugin", "dafl", "--rounds", "1", "--set", "batch_size=8")
    assert shown.exit_code == 0
    assert "dafl on digits, lenet_s:lenet_xs, batch 8, fp32" in shown.stdout
    assert "teacher queries/s" in shown.stdout
    assert "eager: there is no CUDA device" in shown.stdout
    as_json = call("--plugin", "dafl", "--rounds", "1", "--set", 'precision="bf16"', "--json")
    cost = json.loads(as_json.stdout)
    assert (cost["precision"], cost["threads"]) == ("bf16", 1)
    assert set(cost["parts"]) == set(PARTS)


def test_command__says_what_is_wrong() -> None:
    done = call("--plugin", "dalf")
    assert done.exit_code == 2
    assert "Did you mean 'dafl'" in done.output

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dfkdbench.parts.optimizers import Stepper, build_optimizer
from dfkdbench.parts.schedules import DeviceRate, HostRate, learning_rate
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.shortcuts import SHORTCUTS, use_shortcuts


def parameters_and_gradients(seed: int = 0) -> tuple[list[nn.Parameter], list[list[torch.Tensor]]]:
    rng = torch.Generator().manual_seed(seed)
    parameters = [nn.Parameter(torch.randn(shape, generator=rng)) for shape in ((3, 4), (5,))]
    gradients = [[torch.randn(p.shape, generator=rng) for p in parameters] for _ in range(10)]
    return parameters, gradients


def walk(stepper: Stepper, gradients: list[list[torch.Tensor]]) -> None:
    for step in gradients:
        stepper.zero_grad()
        for parameter, gradient in zip(stepper.parameters, step, strict=True):
            parameter.grad = gradient.clone()
        stepper.step()


@pytest.mark.parametrize("step", [0, 1, 7, 10, 15])
def test_learning_rate__cosine_ends_at_zero_and_stays(step: int) -> None:
    options = OptimizerOptions(lr=0.2, schedule="cosine")
    expected = 0.1 * (1 + math.cos(math.pi * min(step, 10) / 10))
    assert learning_rate(options, step, 10) == pytest.approx(expected, abs=1e-12)


def test_learning_rate__milestones_are_fractions_of_the_planned_steps() -> None:
    options = OptimizerOptions(lr=0.1, schedule="multistep", milestones=(0.4, 0.8), gamma=0.1)
    rates = {step: learning_rate(options, step, 240_000) for step in (0, 95_999, 96_000, 191_999, 192_000)}
    expected = {0: 0.1, 95_999: 0.1, 96_000: 0.01, 191_999: 0.01, 192_000: 0.001}
    assert rates == pytest.approx(expected)


def test_learning_rate__constant() -> None:
    assert learning_rate(OptimizerOptions(lr=0.3), 5, 10) == 0.3


def test_learning_rate__nothing_planned() -> None:
    assert learning_rate(OptimizerOptions(lr=0.3, schedule="cosine"), 0, 0) == 0.3


def test_learning_rate__warms_up_and_then_spans_the_rest() -> None:
    options = OptimizerOptions(lr=0.2, schedule="cosine", warmup=0.2)
    rates = [learning_rate(options, step, 10) for step in (0, 1, 2, 6, 10, 15)]
    assert rates == pytest.approx([0.1, 0.2, 0.2, 0.1, 0.0, 0.0], abs=1e-12)


def reference_step(options: OptimizerOptions, p: torch.Tensor, g: torch.Tensor, memory: dict[str, Any], t: int) -> None:
    """One step in float64, written out."""
    rate = learning_rate(options, t - 1, 10)
    if options.kind == "adamw":
        p.mul_(1 - rate * options.weight_decay)
    else:
        g = g + options.weight_decay * p
    if options.kind == "sgd":
        memory["m"] = options.momentum * memory["m"] + g if "m" in memory else g
        p.sub_(rate * (g + options.momentum * memory["m"] if options.nesterov else memory["m"]))
        return
    b1, b2 = options.betas
    memory["m"] = b1 * memory.get("m", 0.0) + (1 - b1) * g
    memory["v"] = b2 * memory.get("v", 0.0) + (1 - b2) * g * g
    p.sub_(rate * (memory["m"] / (1 - b1**t)) / ((memory["v"] / (1 - b2**t)).sqrt() + 1e-8))


@pytest.mark.parametrize(
    "options",
    [
        OptimizerOptions(kind="adam", lr=0.02, weight_decay=0.1, betas=(0.5, 0.9), schedule="cosine"),
        OptimizerOptions(kind="adamw", lr=0.02, weight_decay=0.1),
        OptimizerOptions(kind="sgd", lr=0.1, weight_decay=5e-4, schedule="multistep", milestones=(0.3, 0.5)),
        OptimizerOptions(kind="sgd", lr=0.1, nesterov=True),
        OptimizerOptions(kind="sgd", lr=0.1, momentum=0.0),
    ],
    ids=["adam", "adamw", "sgd", "nesterov", "plain"],
)
def test_stepper__follows_the_textbook(options: OptimizerOptions) -> None:
    parameters, gradients = parameters_and_gradients()
    expected = [p.detach().double().clone() for p in parameters]
    memories: list[dict[str, Any]] = [{} for _ in parameters]
    walk(build_optimizer(options, parameters, 10), gradients)
    for t, step in enumerate(gradients, start=1):
        for p, g, memory in zip(expected, step, memories, strict=True):
            reference_step(options, p, g.double(), memory, t)
    for p, e in zip(parameters, expected, strict=True):
        torch.testing.assert_close(p.detach().double(), e, rtol=1e-5, atol=1e-6)


def test_stepper__clips_the_gradient_of_all_parameters_together() -> None:
    parameters, gradients = parameters_and_gradients()
    before = [p.detach().clone() for p in parameters]
    walk(
        build_optimizer(OptimizerOptions(kind="sgd", lr=1.0, momentum=0.0, clip_norm=0.5), parameters, 1), gradients[:1]
    )
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(parameters, before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_stepper__zero_grad_fills_or_drops() -> None:
    parameters, gradients = parameters_and_gradients()
    stepper = build_optimizer(OptimizerOptions(), parameters, 10)
    walk(stepper, gradients[:1])
    stepper.zero_grad(set_to_none=False)
    assert parameters[0].grad is not None
    assert parameters[0].grad.abs().sum() == 0
    stepper.zero_grad()
    assert parameters[0].grad is None


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_stepper__resumes_bitwise_where_parameters_are_channels_last_and_saved_moments_are_not(kind: Any) -> None:
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 3, 3, generator=rng).to(memory_format=torch.channels_last)
    gradients = [[torch.randn(4, 3, 3, 3, generator=rng).to(memory_format=torch.channels_last)] for _ in range(6)]
    whole = build_optimizer(OptimizerOptions(kind=kind), [nn.Parameter(weight.clone())], 6)
    walk(whole, gradients)
    first = build_optimizer(OptimizerOptions(kind=kind), [nn.Parameter(weight.clone())], 6)
    walk(first, gradients[:3])
    moments = {
        name: value.contiguous() if value.dim() else value for name, value in first.state_dict()["moments"][0].items()
    }
    resumed = build_optimizer(OptimizerOptions(kind=kind), [nn.Parameter(first.parameters[0].detach().clone())], 6)
    resumed.load_state_dict({"steps": 3, "moments": [moments]})
    walk(resumed, gradients[3:])
    assert torch.equal(resumed.parameters[0], whole.parameters[0])


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_stepper__resumes_bitwise(kind: Any) -> None:
    options = OptimizerOptions(kind=kind, lr=0.05, schedule="cosine", weight_decay=0.01)
    parameters, gradients = parameters_and_gradients()
    stepper = build_optimizer(options, parameters, 10)
    walk(stepper, gradients[:4])
    saved, weights = copy.deepcopy(stepper.state_dict()), [p.detach().clone() for p in parameters]
    walk(stepper, gradients[4:])

    others = [nn.Parameter(weight) for weight in weights]
    resumed = build_optimizer(options, others, 10)
    resumed.load_state_dict(saved)
    walk(resumed, gradients[4:])
    assert resumed.steps == 10
    for p, other in zip(parameters, others, strict=True):
        assert torch.equal(p, other)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_stepper__restarts_as_if_new(kind: Any) -> None:
    options = OptimizerOptions(kind=kind, lr=0.1, schedule="cosine")
    parameters, gradients = parameters_and_gradients()
    start = [p.detach().clone() for p in parameters]
    stepper = build_optimizer(options, parameters, 3)
    walk(stepper, gradients)
    with torch.no_grad():
        for parameter, value in zip(parameters, start, strict=True):
            parameter.copy_(value)
    stepper.restart(10)
    walk(stepper, gradients)
    others, _ = parameters_and_gradients()
    walk(build_optimizer(options, others, 10), gradients)
    for mine, other in zip(parameters, others, strict=True):
        assert torch.equal(mine, other)


def test_stepper__loads_in_place() -> None:
    parameters, gradients = parameters_and_gradients()
    stepper = build_optimizer(OptimizerOptions(), parameters, 10)
    walk(stepper, gradients[:2])
    saved = copy.deepcopy(stepper.state_dict())
    walk(stepper, gradients[2:])
    places = [moments["exp_avg"].data_ptr() for moments in stepper.state_dict()["moments"]]
    stepper.load_state_dict(saved)
    after = stepper.state_dict()["moments"]
    assert [moments["exp_avg"].data_ptr() for moments in after] == places
    assert torch.equal(after[0]["exp_avg"], saved["moments"][0]["exp_avg"])


def test_stepper__loading_a_fresh_state_forgets_the_moments() -> None:
    parameters, gradients = parameters_and_gradients()
    stepper = build_optimizer(OptimizerOptions(), parameters, 10)
    fresh = copy.deepcopy(stepper.state_dict())
    walk(stepper, gradients[:2])
    stepper.load_state_dict(fresh)
    assert stepper.state_dict() == {"steps": 0, "moments": [{}, {}]}


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_stepper__a_step_reads_nothing_on_the_host(kind: Any, host_reads_forbidden: TorchDispatchMode) -> None:
    parameters, gradients = parameters_and_gradients()
    stepper = build_optimizer(OptimizerOptions(kind=kind, schedule="cosine", clip_norm=1.0), parameters, 10)
    with host_reads_forbidden:
        walk(stepper, gradients)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"schedule": "cosine"},
        {"schedule": "cosine", "warmup": 0.3},
        {"warmup": 0.5},
        {"schedule": "multistep", "milestones": (0.2, 1.0)},
    ],
)
def test_rate__on_the_device_is_that_of_the_host(options: dict[str, Any]) -> None:
    chosen, like = OptimizerOptions(lr=0.3, **options), torch.zeros(1)
    rates = [kind(chosen, 10, like) for kind in (HostRate, DeviceRate)]
    for first, planned in ((0, 10), (0, 6), (3, 6), (0, 0)):
        for rate in rates:
            rate.restart(planned)
            rate.steps = first
        for step in range(first, 13):
            for rate in rates:
                rate.advance()
            assert torch.equal(rates[0].value, rates[1].value)
            assert rates[0].steps == rates[1].steps == step + 1
            assert rates[1].number == pytest.approx(rates[0].number)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.usefixtures("shortcuts")
def test_step__says_that_it_changed_the_parameters(kind: Any, fused: bool) -> None:
    """So that a gradient that would need them as they were is refused, and nothing made of them is used again."""
    use_shortcuts(SHORTCUTS if fused else set(SHORTCUTS) - {"fused-optimizers"})
    weight = nn.Parameter(torch.ones(3))
    stepper = build_optimizer(OptimizerOptions(kind=kind), [weight], 10)
    made = (weight**2).sum()
    weight.grad = torch.ones(3)
    stepper.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        made.backward()

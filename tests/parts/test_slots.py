"""Combiners, replays and aggregators, and the contract of every built-in part."""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dfkdbench.descriptors import NEEDS, TEACHER_ACCESS, Component
from dfkdbench.errors import PlanError
from dfkdbench.parts import specs
from dfkdbench.parts.aggregators import FirstAggregator, MeanAggregator
from dfkdbench.parts.combiners import SumCombiner
from dfkdbench.parts.replays import NoReplay
from dfkdbench.recipe import Options
from dfkdbench.seams import Batch, BatchStatistics, Replay, Setting, Signal, View

MakeSetting = Callable[..., Setting]


def part_names(component: Component) -> str:
    return f"{component.kind}-{component.name}"


def test_sum__is_weighted(make_setting: MakeSetting) -> None:
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(-3.0)}
    assert SumCombiner(Options(), make_setting())(terms, {"a": 0.5, "b": 4.0, "unused": 9.0}) == -11.0


def test_sum__of_nothing(make_setting: MakeSetting) -> None:
    with pytest.raises(PlanError, match=r"at least one image loss.*dfkdbench list losses"):
        SumCombiner(Options(), make_setting())({}, {})


def test_no_replay__holds_and_gives_nothing(make_setting: MakeSetting) -> None:
    replay: Replay = NoReplay(Options(), make_setting())
    replay.observe(Batch(torch.zeros(2, 1, 4, 4)), Signal)
    assert replay.nbytes == 0
    assert replay.sample(4, Signal) is None


def signal(seed: int, width: int = 6, stages: tuple[int, ...] = (2, 3)) -> Signal:
    rng = torch.Generator().manual_seed(seed)
    statistics = BatchStatistics(*(torch.rand(2, generator=rng) for _ in range(4)))
    maps = tuple(torch.rand(4, channels, 2, 2, generator=rng) for channels in stages)
    logits, features = torch.rand(4, 10, generator=rng), torch.rand(4, width, generator=rng)
    return Signal(logits, features, maps, (statistics,), batch_norm_means=tuple(part.mean((2, 3)) for part in maps))


@pytest.mark.parametrize("kind", [FirstAggregator, MeanAggregator])
def test_aggregator__one_teacher_is_left_as_it_is(make_setting: MakeSetting, kind: Any) -> None:
    only = signal(0)
    assert kind(Options(), make_setting())([only]) is only


def test_first__takes_the_first(make_setting: MakeSetting) -> None:
    signals = [signal(0), signal(1)]
    assert FirstAggregator(Options(), make_setting())(signals) is signals[0]


def test_mean__averages_logits_features_and_stages(make_setting: MakeSetting) -> None:
    a, b, c = signals = [signal(seed) for seed in range(3)]
    mean = MeanAggregator(Options(), make_setting())(signals)
    torch.testing.assert_close(mean.logits, (a.logits + b.logits + c.logits) / 3)
    assert mean.features is not None
    torch.testing.assert_close(mean.features, (a.features + b.features + c.features) / 3)  # type: ignore[operator]
    torch.testing.assert_close(mean.stages[1], (a.stages[1] + b.stages[1] + c.stages[1]) / 3)
    assert len(mean.stages) == 2
    assert mean.batch_norm == ()
    of_first_layer = [own.batch_norm_means[0] for own in signals]
    torch.testing.assert_close(mean.batch_norm_means[0], sum(of_first_layer) / 3)


@pytest.mark.parametrize("other", [(2, 4), (2,), ()])
def test_mean__leaves_out_what_differs_in_shape(make_setting: MakeSetting, other: tuple[int, ...]) -> None:
    mean = MeanAggregator(Options(), make_setting())([signal(0), signal(1, width=5, stages=other)])
    assert mean.features is None
    assert mean.stages == mean.batch_norm_means == ()
    assert mean.logits.shape == (4, 10)


@pytest.mark.parametrize("component", specs.COMPONENTS, ids=part_names)
def test_part__builds_from_its_description_and_keeps_its_state(component: Component, make_setting: MakeSetting) -> None:
    module, attribute = component.target.split(":")
    build = getattr(importlib.import_module(module), attribute)
    real = Batch(torch.zeros(4, 1, 16, 16), torch.arange(4))
    part = build(component.options(), make_setting(0, real=real))
    saved = copy.deepcopy(part.state_dict())
    other = build(component.options(), make_setting(1, real=real))
    other.load_state_dict(saved)
    assert flat(other.state_dict()) == flat(saved)


def flat(tree: Any) -> Any:
    """Tensors as lists; anything that a checkpoint can't hold is an error."""
    if isinstance(tree, dict):
        return {key: flat(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [flat(value) for value in tree]
    if isinstance(tree, torch.Tensor):
        return tree.tolist()
    assert tree is None or type(tree) in (int, float, str)
    return tree


@pytest.mark.parametrize("component", specs.COMPONENTS, ids=part_names)
def test_part__description_is_complete(component: Component) -> None:
    assert component.needs <= NEEDS
    assert component.summary.endswith(".")
    for name, field in component.options.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name
    assert (component.role is not None) == (component.kind == "loss")
    access = component.needs & set(TEACHER_ACCESS)
    if component.role == "image" and access:  # without any, it looks at the images alone
        assert access >= {"input_gradients"}


@pytest.mark.parametrize("component", [c for c in specs.COMPONENTS if c.kind == "loss"], ids=part_names)
def test_loss__is_a_scalar_with_gradient_and_reads_nothing_on_the_host(
    component: Component, make_setting: MakeSetting, host_reads_forbidden: TorchDispatchMode
) -> None:
    module, attribute = component.target.split(":")
    loss = getattr(importlib.import_module(module), attribute)(component.options(), make_setting())
    logits = torch.randn(8, 10, requires_grad=True)
    statistics = BatchStatistics(logits.mean(0), logits.var(0, correction=0), torch.zeros(10), torch.ones(10))
    target = Signal(logits, logits, (), (statistics,))
    images = torch.randn(8, 1, 4, 4, requires_grad=True)
    view = View(images, target, (target,), Signal(2 * logits), torch.arange(8))
    looked_at = logits if component.needs else images
    with host_reads_forbidden:
        value = loss(view)
        (gradient,) = torch.autograd.grad(value, looked_at)
    assert value.shape == ()
    assert gradient.shape == looked_at.shape


def test_specs__name_each_part_once() -> None:
    names = [part_names(component) for component in specs.COMPONENTS]
    assert sorted(set(names)) == sorted(names)


def test_specs__import_no_torch() -> None:
    code = "import sys, dfkdbench.parts.specs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

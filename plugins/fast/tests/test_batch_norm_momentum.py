from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.parts.losses.batch_norm import BatchNormLoss
from dfkdbench.parts.options import BatchNormOptions
from dfkdbench.seams import BatchStatistics, Setting, Signal, View
from dfkdbench_fast.batch_norm_momentum import BatchNormMomentumLoss
from dfkdbench_fast.options import BatchNormMomentumOptions

MakeSetting = Callable[..., Setting]
Layers = tuple[BatchStatistics, ...]


@pytest.fixture
def make(make_setting: MakeSetting) -> Callable[..., BatchNormMomentumLoss]:
    return lambda **options: BatchNormMomentumLoss(BatchNormMomentumOptions(**options), make_setting())


def statistics(seed: int, layers: int = 3) -> Layers:
    """Batch statistics of their own for each seed, running ones the same for all."""
    rng, fixed = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(99)

    def pair(source: torch.Generator) -> Tensor:
        return torch.rand(2, 5, generator=source, dtype=torch.float64)

    return tuple(BatchStatistics(*pair(rng), *pair(fixed)) for _ in range(layers))


def view_of(*networks: Layers) -> View:
    signals = tuple(Signal(torch.zeros(2, 3), batch_norm=layers) for layers in networks)
    return View(torch.zeros(2, 1, 2, 2), signals[0], signals)


def distance(a: Tensor, b: Tensor) -> float:
    return float(sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True)) ** 0.5)


def reference(layers: Layers, moving: list[tuple[Tensor, Tensor]] | None, momentum: float) -> float:
    total = 0.0
    for index, layer in enumerate(layers):
        mean, variance = layer.mean, layer.variance
        if moving is not None:
            mean = (1 - momentum) * mean + momentum * moving[index][0]
            variance = (1 - momentum) * variance + momentum * moving[index][1]
        total += distance(layer.running_mean, mean) + distance(layer.running_variance, variance)
    return total


def test_loss__equals_the_formula_over_three_calls(make: Any) -> None:
    loss = make(momentum=0.9)
    moving: list[tuple[Tensor, Tensor]] | None = None
    for call in range(3):
        for step in range(2):
            layers = statistics(10 * call + step)
            assert loss(view_of(layers)).item() == pytest.approx(reference(layers, moving, 0.9), rel=1e-6)
        loss.settle()
        last = [(layer.mean, layer.variance) for layer in layers]
        before = last if moving is None else moving
        moving = [(0.9 * a + 0.1 * b, 0.9 * c + 0.1 * d) for (a, c), (b, d) in zip(before, last, strict=True)]


def test_loss__without_momentum_is_the_plain_one_in_every_call(make: Any, make_setting: MakeSetting) -> None:
    loss, plain = make(momentum=0.0), BatchNormLoss(BatchNormOptions(), make_setting())
    for call in range(3):
        view = view_of(statistics(call))
        torch.testing.assert_close(loss(view), plain(view))
        loss.settle()


def test_loss__averages_move_at_the_end_of_a_call_only(make: Any) -> None:
    loss, view = make(), view_of(statistics(0))
    first = loss(view)
    loss(view_of(statistics(1)))
    assert torch.equal(loss(view), first)
    loss.settle()
    before = str(loss.state_dict())
    loss(view_of(statistics(2)))
    assert str(loss.state_dict()) == before
    loss.settle()
    assert str(loss.state_dict()) != before


def test_loss__of_the_stored_statistics_is_zero_with_finite_gradient(make: Any) -> None:
    loss = make()
    right = tuple(
        BatchStatistics(layer.running_mean.clone().requires_grad_(), layer.running_variance, *layer[2:])
        for layer in statistics(0)
    )
    for _ in range(2):
        value = loss(view_of(right))
        assert value.item() == pytest.approx(0, abs=1e-7)
        assert torch.autograd.grad(value, right[0].mean)[0].isfinite().all()
        loss.settle()


def test_loss__gradient_of_each_mean_has_norm_one_minus_momentum(make: Any) -> None:
    loss = make(momentum=0.9)
    for expected in (1.0, 0.1, 0.1):
        layers = tuple(BatchStatistics(layer.mean.clone().requires_grad_(), *layer[1:]) for layer in statistics(4))
        gradients = torch.autograd.grad(loss(view_of(layers)), [layer.mean for layer in layers])
        for gradient in gradients:
            assert gradient.norm().item() == pytest.approx(expected, rel=1e-6)
        loss.settle()


def test_loss__several_teachers_count_by_their_mean(make: Any) -> None:
    together, a, b = make(), make(), make()
    for call in range(2):
        one, other = statistics(call), statistics(50 + call, layers=2)
        value = together(view_of(one, other))
        torch.testing.assert_close(value, (a(view_of(one)) + b(view_of(other))) / 2)
        for loss in (together, a, b):
            loss.settle()


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_state__resumes_exactly(make: Any, calls: int) -> None:
    loss, resumed = make(), make()
    resumed(view_of(statistics(77)))
    resumed.settle()
    for call in range(calls):
        loss(view_of(statistics(call)))
        loss.settle()
    resumed.load_state_dict(copy.deepcopy(loss.state_dict()))
    for each in (loss, resumed):
        each(view_of(statistics(8)))
        each.settle()
    view = view_of(statistics(9))
    assert torch.equal(loss(view), resumed(view))


def test_loss__a_teacher_without_batch_norm_is_refused(make: Any) -> None:
    with pytest.raises(PlanError, match="needs a teacher with batch norm"):
        make()(view_of(()))

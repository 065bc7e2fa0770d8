from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.parts.losses.activation import ActivationLoss
from dfkdbench.parts.losses.batch_norm import BatchNormLoss
from dfkdbench.parts.losses.class_entropy import ClassEntropyLoss
from dfkdbench.parts.losses.one_hot import OneHotLoss
from dfkdbench.parts.losses.sample_entropy import SampleEntropyLoss
from dfkdbench.parts.options import BatchNormOptions, ClassEntropyOptions
from dfkdbench.recipe import Options
from dfkdbench.seams import BatchStatistics, Setting, Signal, View

ViewOf = Callable[..., View]
MakeSetting = Callable[..., Setting]
LN10 = math.log(10)


def random_logits(seed: int = 0, rows: int = 8) -> Tensor:
    return 2 * torch.randn(rows, 10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def probabilities(logits: Tensor) -> Tensor:
    return torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)


def one_hot_logits(classes: list[int], scale: float = 1000.0) -> Tensor:
    return scale * torch.eye(10, dtype=torch.float64)[classes]


def test_one_hot__is_minus_the_log_of_the_largest_probability(make_setting: MakeSetting, view_of: ViewOf) -> None:
    logits = random_logits()
    expected = -probabilities(logits).max(dim=1).values.log().mean()
    torch.testing.assert_close(OneHotLoss(Options(), make_setting())(view_of(logits)), expected)


def test_one_hot__limits(make_setting: MakeSetting, view_of: ViewOf) -> None:
    loss = OneHotLoss(Options(), make_setting())
    assert loss(view_of(one_hot_logits([1, 2, 3]))) == 0
    assert loss(view_of(torch.zeros(4, 10))).item() == pytest.approx(LN10, abs=1e-6)


def test_one_hot__gradient_treats_the_class_as_constant(make_setting: MakeSetting, view_of: ViewOf) -> None:
    logits = random_logits().requires_grad_()
    (gradient,) = torch.autograd.grad(OneHotLoss(Options(), make_setting())(view_of(logits)), logits)
    detached = logits.detach()
    target = torch.eye(10, dtype=torch.float64)[detached.argmax(1)]
    torch.testing.assert_close(gradient, (probabilities(detached) - target) / len(detached))


@pytest.mark.parametrize(("base", "unit"), [("e", 1.0), (10, LN10), (2, math.log(2))])
def test_class_entropy__equals_the_formula(make_setting: MakeSetting, view_of: ViewOf, base: Any, unit: float) -> None:
    logits = random_logits()
    mean = probabilities(logits).mean(0)
    expected = (mean * mean.log()).sum() / unit
    loss = ClassEntropyLoss(ClassEntropyOptions(log_base=base), make_setting())(view_of(logits))
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(("base", "bound"), [("e", -LN10), (10, -1.0)])
def test_class_entropy__limits(make_setting: MakeSetting, view_of: ViewOf, base: Any, bound: float) -> None:
    loss = ClassEntropyLoss(ClassEntropyOptions(log_base=base), make_setting())
    for balanced in (torch.zeros(3, 10), one_hot_logits(list(range(10)))):
        assert loss(view_of(balanced)).item() == pytest.approx(bound, abs=1e-6)
    assert loss(view_of(one_hot_logits([4, 4, 4]))).item() == pytest.approx(0.0, abs=1e-9)


def test_class_entropy__classes_that_underflow_give_finite_gradients(
    make_setting: MakeSetting, view_of: ViewOf
) -> None:
    logits = one_hot_logits([4, 4]).float().requires_grad_()
    loss = ClassEntropyLoss(ClassEntropyOptions(), make_setting())(view_of(logits))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_class_entropy__refuses_other_bases() -> None:
    with pytest.raises(ValueError, match="log_base"):
        ClassEntropyOptions.model_validate({"log_base": 7})


def test_activation__is_minus_the_mean_magnitude(make_setting: MakeSetting, view_of: ViewOf) -> None:
    features = torch.tensor([[1.0, -2.0, 3.0], [0.0, 4.0, -5.0]])
    loss = ActivationLoss(Options(), make_setting())
    assert loss(view_of(torch.zeros(2, 10), features=features)).item() == pytest.approx(-15 / 6)
    assert loss(view_of(torch.zeros(2, 10), features=3 * features)).item() == pytest.approx(-45 / 6)


def test_activation__without_features(make_setting: MakeSetting, view_of: ViewOf) -> None:
    with pytest.raises(PlanError, match="needs the teachers' features"):
        ActivationLoss(Options(), make_setting())(view_of(torch.zeros(2, 10)))


def statistics(channels: int, seed: int) -> BatchStatistics:
    rng = torch.Generator().manual_seed(seed)
    return BatchStatistics(*(torch.rand(channels, generator=rng, dtype=torch.float64) for _ in range(4)))


@pytest.mark.parametrize("first", [1.0, 10.0])
def test_batch_norm__equals_the_formula(make_setting: MakeSetting, view_of: ViewOf, first: float) -> None:
    layers = (statistics(3, 0), statistics(5, 1), statistics(4, 2))
    expected = sum(
        weight
        * (
            math.dist(layer.variance.tolist(), layer.running_variance.tolist())
            + math.dist(layer.mean.tolist(), layer.running_mean.tolist())
        )
        for weight, layer in zip((first, 1.0, 1.0), layers, strict=True)
    )
    loss = BatchNormLoss(BatchNormOptions(first_layer_weight=first), make_setting())
    assert loss(view_of(torch.zeros(2, 10), batch_norm=layers)).item() == pytest.approx(expected, rel=1e-6)


def test_batch_norm__of_matching_statistics_is_zero_with_finite_gradient(
    make_setting: MakeSetting, view_of: ViewOf
) -> None:
    mean, variance = torch.rand(4, requires_grad=True), torch.rand(4, requires_grad=True)
    layer = BatchStatistics(mean, variance, mean.detach().clone(), variance.detach().clone())
    loss = BatchNormLoss(BatchNormOptions(), make_setting())(view_of(torch.zeros(2, 10), batch_norm=(layer,)))
    gradients = torch.autograd.grad(loss, [mean, variance])
    assert loss == 0
    assert all(torch.equal(gradient, torch.zeros(4)) for gradient in gradients)


def test_batch_norm__takes_the_mean_over_teachers(make_setting: MakeSetting) -> None:
    loss = BatchNormLoss(BatchNormOptions(), make_setting())
    signals = [Signal(torch.zeros(2, 10), batch_norm=(statistics(3, seed),)) for seed in (0, 1)]
    alone = [loss(View(torch.zeros(2), signal, (signal,))) for signal in signals]
    both = loss(View(torch.zeros(2), signals[0], tuple(signals)))
    torch.testing.assert_close(both, (alone[0] + alone[1]) / 2)


def test_batch_norm__of_a_teacher_without_batch_norm(make_setting: MakeSetting, view_of: ViewOf) -> None:
    with pytest.raises(PlanError, match=r"needs a teacher with batch norm.*dfkdbench list models"):
        BatchNormLoss(BatchNormOptions(), make_setting())(view_of(torch.zeros(2, 10)))


def test_sample_entropy__equals_the_formula_and_its_limits(make_setting: MakeSetting, view_of: ViewOf) -> None:
    loss = SampleEntropyLoss(Options(), make_setting())
    logits = random_logits()
    p = probabilities(logits)
    torch.testing.assert_close(loss(view_of(logits)), -(p * p.log()).sum(1).mean())
    assert loss(view_of(one_hot_logits([1, 2]))) == 0
    assert loss(view_of(torch.zeros(2, 10))).item() == pytest.approx(LN10, abs=1e-6)


def test_sample_entropy__is_at_most_the_entropy_of_the_mean(make_setting: MakeSetting, view_of: ViewOf) -> None:
    view = view_of(random_logits())
    balance = -ClassEntropyLoss(ClassEntropyOptions(), make_setting())(view)
    assert 0 <= SampleEntropyLoss(Options(), make_setting())(view) <= balance <= LN10

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.seams import BatchStatistics, Setting, Signal, View
from dfkdbench_dfq.gaussian_batch_norm import GaussianBatchNormLoss
from dfkdbench_dfq.options import GaussianBatchNormOptions

SETTING = Setting(
    classes=10,
    image_shape=(1, 8, 8),
    device=torch.device("cpu"),
    batch_size=4,
    replay_size=0,
    generator_steps=1,
    student_steps=1,
    teacher_count=1,
    teacher_shapes={},
    rng=lambda role: torch.Generator().manual_seed(len(role)),
)


def loss_of(*teachers: tuple[BatchStatistics, ...], **options: Any) -> Tensor:
    signals = tuple(Signal(torch.zeros(4, 10), batch_norm=layers) for layers in teachers)
    loss = GaussianBatchNormLoss(GaussianBatchNormOptions.model_validate(options), SETTING)
    return loss(View(torch.zeros(4), signals[0], signals))


def layer(mean: float, variance: float, running_mean: float, running_variance: float) -> BatchStatistics:
    values = (mean, variance, running_mean, running_variance)
    return BatchStatistics(*(torch.tensor([value], dtype=torch.float64) for value in values))


def random_layer(channels: int, seed: int) -> BatchStatistics:
    rng = torch.Generator().manual_seed(seed)
    return BatchStatistics(*(0.1 + torch.rand(channels, generator=rng, dtype=torch.float64) for _ in range(4)))


def integrated_divergence(mean: float, variance: float, running_mean: float, running_variance: float) -> float:
    """KL of two normal densities by the trapezium rule."""
    x = torch.linspace(-30, 30, 600_001, dtype=torch.float64)

    def log_density(m: float, v: float) -> Tensor:
        return -((x - m) ** 2) / (2 * v) - 0.5 * math.log(2 * math.pi * v)

    generated, stored = log_density(mean, variance), log_density(running_mean, running_variance)
    return torch.trapezoid(generated.exp() * (generated - stored), x).item()


@pytest.mark.parametrize("values", [(0.3, 0.5, -0.2, 1.7), (2.0, 1.5, 1.9, 0.4)])
def test_gaussian_batch_norm__is_the_divergence_of_the_densities(values: tuple[float, float, float, float]) -> None:
    assert loss_of((layer(*values),), eps=1e-12).item() == pytest.approx(integrated_divergence(*values), rel=1e-8)


def test_gaussian_batch_norm__sums_over_layers_and_channels() -> None:
    layers = (random_layer(3, 0), random_layer(5, 1))
    expected = sum(
        ((m - rm) ** 2 + v) / (2 * rv) - math.log(math.sqrt(v / rv)) - 0.5
        for each in layers
        for m, v, rm, rv in zip(*(value.tolist() for value in each), strict=True)
    )
    assert loss_of(layers, eps=1e-12).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("statistics", "value"),
    [((0.4, 2.0, 0.4, 2.0), 0.0), ((3.0, 4.0, 1.0, 4.0), 0.5), ((1.0, 6.0, 1.0, 3.0), 0.1534)],
    ids=["equal", "a deviation away", "twice the variance"],
)
def test_gaussian_batch_norm__known_values(statistics: tuple[float, float, float, float], value: float) -> None:
    assert loss_of((layer(*statistics),)).item() == pytest.approx(value, abs=3e-5)


def test_gaussian_batch_norm__too_much_variance_costs_more_than_too_little() -> None:
    large, small = (loss_of((layer(0.0, variance, 0.0, 1.0),)).item() for variance in (10.0, 0.1))
    assert large > 2 * small > 0


def test_gaussian_batch_norm__dead_channels_are_finite() -> None:
    mean, variance = torch.zeros(2, requires_grad=True), torch.tensor([0.0, 0.1], requires_grad=True)
    statistics = BatchStatistics(mean, variance, torch.zeros(2), torch.tensor([1.0, 0.0]))
    loss = loss_of((statistics,))
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, [mean, variance]))


def test_gaussian_batch_norm__takes_the_mean_over_teachers() -> None:
    first, second = (random_layer(3, 0),), (random_layer(4, 1),)
    torch.testing.assert_close(loss_of(first, second), (loss_of(first) + loss_of(second)) / 2)


def test_gaussian_batch_norm__of_a_teacher_without_batch_norm() -> None:
    with pytest.raises(PlanError, match=r"needs a teacher with batch norm.*--loss gaussian_batch_norm=0"):
        loss_of(())

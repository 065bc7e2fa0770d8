from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.parts.losses.cross_entropy import CrossEntropyLoss
from dfkdbench.parts.losses.hard_labels import HardLabelsLoss
from dfkdbench.parts.losses.kl import KLLoss
from dfkdbench.parts.losses.l1 import L1Loss
from dfkdbench.parts.options import KLOptions
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, View

ViewOf = Callable[..., View]


def logits(seed: int, rows: int = 6) -> Tensor:
    return 3 * torch.randn(rows, 10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def kl(make_setting: Callable[..., Setting]) -> Callable[..., KLLoss]:
    return lambda **options: KLLoss(KLOptions.model_validate(options), make_setting())


@pytest.fixture
def l1(make_setting: Callable[..., Setting]) -> L1Loss:
    return L1Loss(Options(), make_setting())


@pytest.mark.parametrize("temperature", [1.0, 4.0, 10.0])
@pytest.mark.parametrize("squared", [True, False])
def test_kl__equals_the_formula(kl: Any, view_of: ViewOf, temperature: float, squared: bool) -> None:
    t, s = logits(0), logits(1)
    p, q = torch.exp(t / temperature), torch.exp(s / temperature)
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    expected = (p * (p / q).log()).sum() / len(t) * (temperature**2 if squared else 1)
    loss = kl(temperature=temperature, temperature_squared=squared)(view_of(t, s))
    torch.testing.assert_close(loss, expected)


def test_kl__of_equal_logits_is_zero_with_zero_gradient(kl: Any, view_of: ViewOf) -> None:
    student = logits(0).requires_grad_()
    loss = kl()(view_of(student.detach(), student))
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss == 0
    assert gradient.abs().max() < 1e-15


def test_kl__ignores_constants_and_duplication(kl: Any, view_of: ViewOf) -> None:
    t, s = logits(0), logits(1)
    loss = kl()(view_of(t, s))
    torch.testing.assert_close(kl()(view_of(t + 5, s - 3)), loss)
    torch.testing.assert_close(kl()(view_of(torch.cat([t, t]), torch.cat([s, s]))), loss)


def test_kl__one_hot_against_uniform_is_ln_k(kl: Any, view_of: ViewOf) -> None:
    teacher = torch.zeros(1, 10, dtype=torch.float64)
    teacher[0, 3] = 1000
    assert kl()(view_of(teacher, torch.zeros_like(teacher))).item() == pytest.approx(2.302585, abs=1e-6)


def test_kl__at_high_temperature_is_a_squared_distance_of_centred_logits(kl: Any, view_of: ViewOf) -> None:
    t, s = logits(0), logits(1)
    centred = (s - s.mean(1, keepdim=True)) - (t - t.mean(1, keepdim=True))
    expected = centred.square().sum(1).mean() / (2 * 10)
    torch.testing.assert_close(kl(temperature=1e4)(view_of(t, s)), expected, rtol=1e-3, atol=0)


def test_l1__equals_the_formula(l1: L1Loss, view_of: ViewOf) -> None:
    t, s = logits(0), logits(1)
    expected = sum(abs(a - b) for a, b in zip(t.flatten().tolist(), s.flatten().tolist(), strict=True)) / t.numel()
    assert l1(view_of(t, s)).item() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(4, 10), (3, 7)])
def test_l1__of_ones_is_one_whatever_the_shape(l1: L1Loss, view_of: ViewOf, shape: tuple[int, int]) -> None:
    assert l1(view_of(torch.zeros(shape), torch.ones(shape))) == 1.0


def test_l1__sees_constants_and_scales(l1: L1Loss, view_of: ViewOf) -> None:
    t, s = logits(0), logits(1)
    loss = l1(view_of(t, s))
    assert l1(view_of(t + 5, s)) != loss
    torch.testing.assert_close(l1(view_of(3 * t, 3 * s)), 3 * loss)


@pytest.mark.parametrize("loss", [CrossEntropyLoss, HardLabelsLoss])
def test_cross_entropy__equals_the_formula(loss: Any, make_setting: Callable[..., Setting], view_of: ViewOf) -> None:
    t, s, labels = logits(0), logits(1), torch.tensor([0, 1, 2, 3, 4, 5])
    wanted = labels.tolist() if loss is CrossEntropyLoss else [row.index(max(row)) for row in t.tolist()]
    q = torch.exp(s) / torch.exp(s).sum(1, keepdim=True)
    expected = -sum(q[i, k].log() for i, k in enumerate(wanted)) / len(s)
    torch.testing.assert_close(loss(Options(), make_setting())(view_of(t, s, labels)), expected)


def test_cross_entropy__to_labels_that_are_not_there(make_setting: Callable[..., Setting], view_of: ViewOf) -> None:
    with pytest.raises(ValueError, match="images that have no labels"):
        CrossEntropyLoss(Options(), make_setting())(view_of(logits(0), logits(1)))


def test_student_losses__without_a_student_signal(kl: Any, view_of: ViewOf) -> None:
    with pytest.raises(ValueError, match="no student signal"):
        kl()(view_of(logits(0)))

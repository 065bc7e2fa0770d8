from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.parts.losses.adversarial_kl import AdversarialKLLoss
from dfkdbench.parts.losses.adversarial_l1 import AdversarialL1Loss
from dfkdbench.parts.losses.kl import KLLoss
from dfkdbench.parts.losses.l1 import L1Loss
from dfkdbench.parts.options import AdversarialKLOptions, AdversarialL1Options, KLOptions
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, View

ViewOf = Callable[..., View]


def logits(seed: int, rows: int = 6, classes: int = 10) -> Tensor:
    return 3 * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def kl(make_setting: Callable[..., Setting]) -> Callable[..., AdversarialKLLoss]:
    return lambda **options: AdversarialKLLoss(AdversarialKLOptions.model_validate(options), make_setting())


@pytest.fixture
def l1(make_setting: Callable[..., Setting]) -> Callable[..., AdversarialL1Loss]:
    return lambda **options: AdversarialL1Loss(AdversarialL1Options.model_validate(options), make_setting())


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("reduction", ["batchmean", "mean"])
def test_adversarial_kl__equals_the_formula(kl: Any, view_of: ViewOf, temperature: float, reduction: str) -> None:
    t, s = logits(0), logits(1)
    p, q = torch.exp(t / temperature), torch.exp(s / temperature)
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    expected = -(p * (p / q).log()).sum() / (len(t) if reduction == "batchmean" else t.numel())
    torch.testing.assert_close(kl(temperature=temperature, reduction=reduction)(view_of(t, s)), expected)


@pytest.mark.parametrize(("reduction", "value"), [("batchmean", 2.302585), ("mean", 0.2302585)])
def test_kl_reductions__of_one_hot_against_uniform(
    kl: Any, view_of: ViewOf, make_setting: Callable[..., Setting], reduction: Any, value: float
) -> None:
    teacher = torch.zeros(1, 10, dtype=torch.float64)
    teacher[0, 3] = 1000
    view = view_of(teacher, torch.zeros_like(teacher))
    assert kl(reduction=reduction)(view).item() == pytest.approx(-value, abs=1e-6)
    assert KLLoss(KLOptions(reduction=reduction), make_setting())(view).item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("reduction", ["batchmean", "mean"])
def test_adversarial_kl__is_the_students_loss_turned_round(
    kl: Any, view_of: ViewOf, make_setting: Callable[..., Setting], reduction: Any
) -> None:
    view = view_of(logits(0), logits(1))
    loss = kl(reduction=reduction)(view)
    assert loss < 0
    torch.testing.assert_close(loss, -KLLoss(KLOptions(reduction=reduction), make_setting())(view))
    shifted = view_of(logits(0) + 5, logits(1) - 3)
    torch.testing.assert_close(kl(reduction=reduction)(shifted), loss)


def test_adversarial_kl__gradient_comes_through_teacher_and_student(kl: Any, view_of: ViewOf) -> None:
    t, s = logits(0).requires_grad_(), logits(1).requires_grad_()
    (towards_t, towards_s) = torch.autograd.grad(kl()(view_of(t, s)), [t, s])
    p, q = torch.softmax(t.detach(), 1), torch.softmax(s.detach(), 1)
    divergence = (p * (p / q).log()).sum(1, keepdim=True)
    torch.testing.assert_close(towards_s, -(q - p) / len(t))
    torch.testing.assert_close(towards_t, -p * ((p / q).log() - divergence) / len(t))


@pytest.mark.parametrize("name", ["kl", "l1"])
def test_adversarial_losses__of_the_same_network_are_zero_with_zero_gradient(
    kl: Any, l1: Any, view_of: ViewOf, name: str
) -> None:
    t = logits(0).requires_grad_()
    loss = {"kl": kl, "l1": l1}[name]()(view_of(t, t))
    (gradient,) = torch.autograd.grad(loss, t)
    assert loss == 0
    assert gradient.abs().max() < 1e-15


def test_adversarial_l1__is_the_students_loss_turned_round(
    l1: Any, view_of: ViewOf, make_setting: Callable[..., Setting]
) -> None:
    t, s = logits(0), logits(1)
    expected = -sum(abs(a - b) for a, b in zip(t.flatten().tolist(), s.flatten().tolist(), strict=True)) / t.numel()
    assert l1()(view_of(t, s)).item() == pytest.approx(expected)
    torch.testing.assert_close(l1()(view_of(t, s)), -L1Loss(Options(), make_setting())(view_of(t, s)))


@pytest.mark.parametrize("shape", [(4, 10), (3, 7)])
def test_adversarial_l1__of_ones_is_minus_one_whatever_the_shape(
    l1: Any, view_of: ViewOf, shape: tuple[int, int]
) -> None:
    view = view_of(torch.zeros(shape, dtype=torch.float64), torch.ones(shape, dtype=torch.float64))
    assert l1()(view) == -1.0
    assert l1(form="log")(view).item() == pytest.approx(-math.log(2))


def test_adversarial_l1__logarithm_has_the_plain_gradient_over_one_plus_the_distance(l1: Any, view_of: ViewOf) -> None:
    t, s = logits(0).requires_grad_(), logits(1).requires_grad_()
    plain, log = (l1(form=form)(view_of(t, s)) for form in ("plain", "log"))
    for steep, flat in zip(torch.autograd.grad(plain, [t, s]), torch.autograd.grad(log, [t, s]), strict=True):
        torch.testing.assert_close(flat, steep / (1 - plain.detach()))
        assert steep.abs().sum() > 0


def test_adversarial_losses__without_a_student_signal(kl: Any, l1: Any, view_of: ViewOf) -> None:
    for loss in (kl(), l1()):
        with pytest.raises(ValueError, match="no student signal"):
            loss(view_of(logits(0)))

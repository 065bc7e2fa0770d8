from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dfkdbench.parts.losses.decision_adversarial import DecisionAdversarialLoss
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, View

ViewOf = Callable[..., View]
MakeSetting = Callable[..., Setting]


@pytest.fixture
def loss(make_setting: MakeSetting) -> DecisionAdversarialLoss:
    return DecisionAdversarialLoss(Options(), make_setting())


def random_pair(rows: int = 40) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    teacher = torch.randn(rows, 4, generator=rng, dtype=torch.float64)
    return teacher, teacher + torch.randn(rows, 4, generator=rng, dtype=torch.float64)


def divergence(t: list[float], s: list[float]) -> float:
    p, q = ([math.exp(x) / sum(math.exp(y) for y in row) for x in row] for row in (t, s))
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_loss__is_minus_the_divergence_of_agreeing_images_over_all(
    loss: DecisionAdversarialLoss, view_of: ViewOf
) -> None:
    teacher, student = random_pair()
    agreeing = [
        divergence(t, s)
        for t, s in zip(teacher.tolist(), student.tolist(), strict=True)
        if t.index(max(t)) == s.index(max(s))
    ]
    assert 5 < len(agreeing) < 35
    assert loss(view_of(teacher, student)).item() == pytest.approx(-sum(agreeing) / 40, rel=1e-9)


def test_loss__limits(loss: DecisionAdversarialLoss, view_of: ViewOf) -> None:
    teacher, student = random_pair()
    assert loss(view_of(teacher, teacher)) == 0
    assert loss(view_of(teacher, -teacher)) == 0
    assert loss(view_of(teacher, student)) < 0


def test_loss__nothing_pushes_images_with_different_decisions(loss: DecisionAdversarialLoss, view_of: ViewOf) -> None:
    teacher, student = random_pair()
    teacher.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(view_of(teacher, student)), teacher)
    agree = teacher.argmax(1) == student.argmax(1)
    assert (gradient[~agree] == 0).all()
    assert (gradient[agree].abs().sum(1) > 0).all()

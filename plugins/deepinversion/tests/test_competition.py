from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dfkdbench.seams import Setting, Signal, View
from dfkdbench_deepinversion.competition import CompetitionLoss
from dfkdbench_deepinversion.options import CompetitionOptions

MakeSetting = Callable[..., Setting]


def view_of(teacher: Tensor, student: Tensor | None) -> View:
    target = Signal(teacher)
    return View(torch.zeros(len(teacher)), target, (target,), None if student is None else Signal(student))


def softmax(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in row]
    return [power / sum(powers) for power in powers]


def kl(first: list[float], second: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(first, second, strict=True))


def reference(form: str, teacher: Tensor, student: Tensor, temperature: float) -> float:
    divergences = []
    for t, s in zip(teacher.tolist(), student.tolist(), strict=True):
        p, q = softmax(t, temperature), softmax(s, temperature)
        m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        if form == "paper":
            divergences.append(kl(p, m) / 2 + kl(q, m) / 2)
        else:
            p, q, m = ([min(max(x, 0.01), 0.99) for x in row] for row in (p, q, m))
            divergences.append(kl(m, p) / 2 + kl(m, q) / 2)
    mean = sum(divergences) / len(divergences)
    return 1 - (mean if form == "paper" else min(max(mean, 0), 1))


def loss_of(form: str, setting: Setting, temperature: float = 3.0) -> CompetitionLoss:
    return CompetitionLoss(CompetitionOptions.model_validate({"form": form, "temperature": temperature}), setting)


def random_logits(seed: int, scale: float = 1.5) -> Tensor:
    return scale * torch.randn(6, 10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_competition__equals_the_formula(make_setting: MakeSetting, form: str, temperature: float) -> None:
    teacher, student = random_logits(0), random_logits(1)
    value = loss_of(form, make_setting(), temperature)(view_of(teacher, student)).item()
    assert value == pytest.approx(reference(form, teacher, student, temperature), rel=1e-10)
    assert 0 < value < 1


@pytest.mark.parametrize("form", ["paper", "code"])
def test_competition__is_one_where_the_networks_agree(make_setting: MakeSetting, form: str) -> None:
    logits = random_logits(0)
    assert loss_of(form, make_setting())(view_of(logits, logits + 7)).item() == pytest.approx(1, abs=1e-9)


def opposed(gap: float, classes: int = 10) -> tuple[Tensor, Tensor]:
    rows = gap * torch.eye(classes, dtype=torch.float64)
    return rows[:1].clone().requires_grad_(), rows[1:2]


@pytest.mark.parametrize(("form", "divergence"), [("paper", 0.426), ("code", 0.791)])
def test_competition__of_a_logit_gap_of_ten(make_setting: MakeSetting, form: str, divergence: float) -> None:
    assert loss_of(form, make_setting())(view_of(*opposed(10))).item() == pytest.approx(1 - divergence, abs=1e-3)


def test_competition__paper_form_never_saturates_below_one_minus_ln_2(make_setting: MakeSetting) -> None:
    loss = loss_of("paper", make_setting())
    assert loss(view_of(*opposed(1000))).item() == pytest.approx(1 - math.log(2), abs=1e-9)
    teacher, student = opposed(25)
    (gradient,) = torch.autograd.grad(loss(view_of(teacher, student)), teacher)
    assert gradient.abs().max() > 1e-5


def test_competition__code_form_is_flat_where_the_networks_disagree_most(make_setting: MakeSetting) -> None:
    teacher, student = opposed(1000)
    value = loss_of("code", make_setting())(view_of(teacher, student))
    (gradient,) = torch.autograd.grad(value, teacher)
    assert value == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_competition__code_form_is_blind_with_a_thousand_classes(make_setting: MakeSetting) -> None:
    rng = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(4, 1000, generator=rng, dtype=torch.float64) for _ in range(2))
    assert loss_of("code", make_setting())(view_of(teacher, student)).item() == pytest.approx(1, abs=1e-12)
    assert loss_of("paper", make_setting())(view_of(teacher, student)).item() < 0.99


@pytest.mark.parametrize("form", ["paper", "code"])
def test_competition__its_gradient_pushes_the_networks_apart(make_setting: MakeSetting, form: str) -> None:
    teacher = torch.tensor([[1.0, 0.0, -1.0]], dtype=torch.float64, requires_grad=True)
    student = torch.tensor([[0.0, 1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad(loss_of(form, make_setting())(view_of(teacher, student)), [teacher, student])
    assert gradients[0][0, 0] < 0 < gradients[0][0, 1]
    assert gradients[1][0, 1] < 0 < gradients[1][0, 0]


@pytest.mark.parametrize("form", ["paper", "code"])
def test_competition__does_not_depend_on_the_batch_size(make_setting: MakeSetting, form: str) -> None:
    teacher, student = random_logits(0), random_logits(1)
    once = loss_of(form, make_setting())(view_of(teacher, student))
    twice = loss_of(form, make_setting())(view_of(teacher.repeat(2, 1), student.repeat(2, 1)))
    torch.testing.assert_close(once, twice)


def test_competition__without_a_student(make_setting: MakeSetting) -> None:
    with pytest.raises(ValueError, match="no student signal"):
        loss_of("paper", make_setting())(view_of(random_logits(0), None))

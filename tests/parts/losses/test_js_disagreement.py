"""The bounded disagreement, against a plain reference in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.parts.losses.js_disagreement import JSDisagreementLoss
from dfkdbench.parts.options import JSDisagreementOptions
from dfkdbench.seams import Setting, View

ViewOf = Callable[..., View]


@pytest.fixture
def make(make_setting: Callable[..., Setting]) -> Callable[..., JSDisagreementLoss]:
    return lambda **options: JSDisagreementLoss(JSDisagreementOptions.model_validate(options), make_setting())


def logits(seed: int, scale: float = 4.0, classes: int = 10) -> Tensor:
    return scale * torch.randn(6, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax(row: list[float], temperature: float) -> list[float]:
    exponentials = [math.exp(value / temperature) for value in row]
    return [value / sum(exponentials) for value in exponentials]


def reference(t: Tensor, s: Tensor, temperature: float, floor: float, reduction: str, direction: str) -> float:
    def clamp(value: float) -> float:
        return min(max(value, floor), 1 - floor)

    total = 0.0
    for row_t, row_s in zip(t.tolist(), s.tolist(), strict=True):
        for p, q in zip(softmax(row_t, temperature), softmax(row_s, temperature), strict=True):
            r, p, q = clamp((p + q) / 2), clamp(p), clamp(q)
            for output in (p, q):
                first, second = (r, output) if direction == "mixture_first" else (output, r)
                total += 0.5 * first * (math.log(first) - math.log(second))
    divergence = total / (t.numel() if reduction == "mean" else len(t))
    return 1 - min(max(divergence, 0.0), 1.0)


@pytest.mark.parametrize("reduction", ["mean", "batchmean"])
@pytest.mark.parametrize("direction", ["mixture_first", "textbook"])
@pytest.mark.parametrize(("temperature", "floor"), [(3.0, 0.01), (1.0, 1e-9)])
def test_js_disagreement__is_the_formula(
    make: Any, view_of: ViewOf, temperature: float, floor: float, reduction: str, direction: str
) -> None:
    options = {"temperature": temperature, "floor": floor, "reduction": reduction, "direction": direction}
    t, s = logits(0), logits(1)
    value = make(**options)(view_of(t, s))
    assert value.item() == pytest.approx(reference(t, s, temperature, floor, reduction, direction), rel=1e-10)
    assert 0 <= value < 1


def test_js_disagreement__is_one_where_student_and_teacher_agree(make: Any, view_of: ViewOf) -> None:
    t = logits(0)
    assert make()(view_of(t, t.clone())) == 1
    assert make()(view_of(t, t + 5)).item() == pytest.approx(1)


@pytest.mark.parametrize(("classes", "expected"), [(10, 0.8386), (100, 0.98386), (200, 0.99193)])
def test_js_disagreement__of_outputs_that_share_nothing_stays_near_one(
    make: Any, view_of: ViewOf, classes: int, expected: float
) -> None:
    t, s = torch.zeros(2, 8, classes, dtype=torch.float64)
    t[:, 0] = s[:, 1] = 1e4
    assert make()(view_of(t, s)).item() == pytest.approx(expected, abs=5e-5)


def test_js_disagreement__as_in_the_textbook_is_at_most_ln_two(make: Any, view_of: ViewOf) -> None:
    t, s = torch.zeros(2, 8, 100, dtype=torch.float64)
    t[:, 0] = s[:, 1] = 1e4
    loss = make(direction="textbook", reduction="batchmean", floor=1e-12)
    assert 1 - loss(view_of(t, s)).item() == pytest.approx(math.log(2), abs=1e-8)


def test_js_disagreement__gradient_passes_through_the_student_alone_unless_asked(make: Any, view_of: ViewOf) -> None:
    for detach in (True, False):
        t, s = logits(0).requires_grad_(), logits(1).requires_grad_()
        torch.autograd.backward(make(detach_teacher=detach)(view_of(t, s)))
        assert s.grad is not None
        assert s.grad.abs().max() > 0
        assert (t.grad is None) == detach


def test_js_disagreement__minimising_it_drives_the_outputs_apart(make: Any, view_of: ViewOf) -> None:
    t, s = logits(0), logits(1).requires_grad_()
    loss = make()
    (gradient,) = torch.autograd.grad(loss(view_of(t, s)), s)
    assert loss(view_of(t, (s - 10 * gradient).detach())) < loss(view_of(t, s))


def test_js_disagreement__is_flat_for_two_hundred_classes(make: Any, view_of: ViewOf) -> None:
    t, s = logits(0, 3.0, 200), logits(1, 3.0, 200).requires_grad_()
    value = make()(view_of(t, s))
    assert value == 1
    assert torch.autograd.grad(value, s)[0].abs().max() == 0

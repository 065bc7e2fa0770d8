"""Every loss against its formula, and what the formulas imply."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.parts.losses.adversarial_kl import AdversarialKLLoss
from dfkdbench.parts.losses.batch_norm import BatchNormLoss
from dfkdbench.parts.losses.l1 import L1Loss
from dfkdbench.parts.options import AdversarialKLOptions, BatchNormOptions, ClassEntropyOptions, KLOptions
from dfkdbench.recipe import Options
from dfkdbench.seams import BatchStatistics, Setting, Signal, View
from dfkdbench_cdfkd_mfs.losses.adversarial import (
    AdversarialHeadsKLLoss,
    AdversarialHeadsL1Loss,
)
from dfkdbench_cdfkd_mfs.losses.each_teacher import EachActivationLoss, EachClassEntropyLoss, EachOneHotLoss
from dfkdbench_cdfkd_mfs.losses.heads import HeadFeaturesL1Loss, HeadsKLLoss, HeadsL1Loss
from dfkdbench_cdfkd_mfs.recipes import MFS_RECIPE

MakeView = Callable[..., View]


def rows(tensor: Tensor | None) -> list[list[float]]:
    assert tensor is not None
    return tensor.tolist()  # type: ignore[no-any-return]


def mean_absolute(first: list[list[float]], second: list[list[float]]) -> float:
    entries = [abs(a - b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)]
    return sum(entries) / len(entries)


def softmax(row: list[float]) -> list[float]:
    total = sum(map(math.exp, row))
    return [math.exp(entry) / total for entry in row]


def divergence(teacher: list[list[float]], student: list[list[float]]) -> float:
    pairs = [(softmax(t), softmax(s)) for t, s in zip(teacher, student, strict=True)]
    return sum(p * math.log(p / q) for ps, qs in pairs for p, q in zip(ps, qs, strict=True)) / len(teacher)


def heads_of(view: View) -> list[list[list[float]]]:
    assert view.student is not None
    return [rows(head) for head in view.student.heads]


def test_heads_l1__is_the_mean_over_pairs(random_view: MakeView, setting: Setting) -> None:
    view = random_view()
    pairs = zip(heads_of(view), view.teachers, strict=True)
    expected = sum(mean_absolute(head, rows(teacher.logits)) for head, teacher in pairs) / 3
    assert HeadsL1Loss(Options(), setting)(view).item() == pytest.approx(expected, rel=1e-12)


def test_heads_kl__is_the_mean_over_pairs(random_view: MakeView, setting: Setting) -> None:
    view = random_view()
    pairs = zip(heads_of(view), view.teachers, strict=True)
    expected = sum(divergence(rows(teacher.logits), head) for head, teacher in pairs) / 3
    assert HeadsKLLoss(KLOptions(), setting)(view).item() == pytest.approx(expected, rel=1e-9)


def test_head_features_l1__sums_over_entries_and_averages_over_heads_and_batch(
    random_view: MakeView, setting: Setting
) -> None:
    view = random_view(width=4)
    assert view.student is not None
    students = rows(view.student.features)
    total = 0.0
    for number, teacher in enumerate(view.teachers):
        for mine, theirs in zip(students, rows(teacher.features), strict=True):
            total += sum(abs(mine[4 * number + entry] - theirs[entry]) for entry in range(4))
    loss = HeadFeaturesL1Loss(Options(), setting)(view)
    assert loss.item() == pytest.approx(total / (3 * 8), rel=1e-12)


def test_head_features_l1__refuses_vectors_of_different_lengths(random_view: MakeView, setting: Setting) -> None:
    with pytest.raises(PlanError, match=r"3 heads have 2 entries each, the teachers 5.*--loss head_features_l1=0"):
        HeadFeaturesL1Loss(Options(), setting)(random_view(width=5, student_width=2))


def test_ensemble_l1__is_the_built_in_l1_and_never_more_than_heads_l1(random_view: MakeView, setting: Setting) -> None:
    view = random_view()
    mean_head = [[sum(column) / 3 for column in zip(*row, strict=True)] for row in zip(*heads_of(view), strict=True)]
    ensemble = L1Loss(Options(), setting)(view)
    assert ensemble.item() == pytest.approx(mean_absolute(mean_head, rows(view.teacher.logits)), rel=1e-9)
    assert ensemble < HeadsL1Loss(Options(), setting)(view)
    assert view.student is not None
    above = tuple(teacher.logits + 0.5 + number for number, teacher in enumerate(view.teachers))
    same_sign = view._replace(student=Signal(torch.stack(above).mean(0), None, heads=above))
    torch.testing.assert_close(L1Loss(Options(), setting)(same_sign), HeadsL1Loss(Options(), setting)(same_sign))


def test_student_losses__zero_for_a_perfect_student(random_view: MakeView, setting: Setting) -> None:
    view = random_view()
    heads = tuple(teacher.logits for teacher in view.teachers)
    features = torch.cat([teacher.features for teacher in view.teachers if teacher.features is not None], 1)
    view = view._replace(student=Signal(view.teacher.logits, features, heads=heads))
    for loss in (
        HeadsL1Loss(Options(), setting),
        HeadFeaturesL1Loss(Options(), setting),
        L1Loss(Options(), setting),
        AdversarialHeadsL1Loss(Options(), setting),
    ):
        assert loss(view).abs().item() < 1e-14
    assert HeadsKLLoss(KLOptions(), setting)(view).abs().item() < 1e-12


def test_adversarial__is_minus_the_students_loss(random_view: MakeView, setting: Setting) -> None:
    view = random_view()
    assert AdversarialHeadsL1Loss(Options(), setting)(view) == -HeadsL1Loss(Options(), setting)(view)
    assert AdversarialHeadsKLLoss(KLOptions(), setting)(view) == -HeadsKLLoss(KLOptions(), setting)(view)
    assert view.student is not None
    expected = -divergence(rows(view.teacher.logits), rows(view.student.logits))
    loss = AdversarialKLLoss(AdversarialKLOptions(), setting)(view)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert expected < 0


def test_one_teacher__without_the_extra_weights_it_is_l1_against_minus_l1(
    random_view: MakeView, setting: Setting
) -> None:
    view = random_view(heads=1, teachers=1)
    assert view.student is not None
    dfad = mean_absolute(rows(view.student.logits), rows(view.teacher.logits))
    assert HeadsL1Loss(Options(), setting)(view).item() == pytest.approx(dfad, rel=1e-12)
    assert AdversarialHeadsL1Loss(Options(), setting)(view).item() == pytest.approx(-dfad, rel=1e-12)
    weights = {name: choice.weight for name, choice in MFS_RECIPE.student_losses.items()}
    assert weights == {"heads_l1": 1.0, "head_features_l1": 0.2, "l1": 5.0}


@pytest.mark.parametrize(("heads", "teachers"), [(2, 3), (3, 2), (3, 1)])
def test_pairing__another_number_of_heads_is_refused(
    random_view: MakeView, setting: Setting, heads: int, teachers: int
) -> None:
    view = random_view(heads=heads, teachers=teachers)
    with pytest.raises(PlanError, match=f"there are {heads} heads and {teachers} teachers"):
        HeadsL1Loss(Options(), setting)(view)


def test_gradients__accumulated_per_teacher_equal_one_backward(random_view: MakeView, setting: Setting) -> None:
    view = random_view()
    student = torch.randn(10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    images = torch.randn(8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).requires_grad_()

    def with_images() -> View:
        signals = tuple(Signal(images * (number + 1)) for number in range(3))
        heads = tuple(images @ student + number for number in range(3))
        return view._replace(teachers=signals, student=Signal(torch.stack(heads).mean(0), heads=heads))

    (whole,) = torch.autograd.grad(AdversarialHeadsL1Loss(Options(), setting)(with_images()), images)
    parts = torch.zeros_like(images)
    for number in range(3):
        full = with_images()
        assert full.student is not None
        one = full._replace(
            teachers=full.teachers[number : number + 1],
            student=full.student._replace(heads=full.student.heads[number : number + 1]),
        )
        parts += torch.autograd.grad(AdversarialHeadsL1Loss(Options(), setting)(one), images)[0] / 3
    torch.testing.assert_close(whole, parts)


def statistics(offset: float, channels: int) -> BatchStatistics:
    zeros, ones = torch.zeros(channels, dtype=torch.float64), torch.ones(channels, dtype=torch.float64)
    return BatchStatistics(zeros + offset, ones, zeros, ones)


def test_batch_norm__mean_over_teachers_with_the_first_layer_five_times(
    random_view: MakeView, setting: Setting
) -> None:
    options: Any = MFS_RECIPE.losses["batch_norm"].options
    loss = BatchNormLoss(BatchNormOptions.model_validate(options), setting)
    view = random_view()
    offsets = [(0.0, 0.0), (0.3, 0.0), (0.0, 0.2)]
    teachers = tuple(
        signal._replace(batch_norm=(statistics(first, 4), statistics(second, 9)))
        for signal, (first, second) in zip(view.teachers, offsets, strict=True)
    )
    expected = (5 * 0.3 * math.sqrt(4) + 0.2 * math.sqrt(9)) / 3
    assert loss(view._replace(teachers=teachers)).item() == pytest.approx(expected, rel=1e-6)
    still = tuple(signal._replace(batch_norm=(statistics(0.0, 4),)) for signal in view.teachers)
    assert loss(view._replace(teachers=still)).item() == 0


def test_each_teacher__averages_over_teachers_and_not_over_logits(random_view: MakeView, setting: Setting) -> None:
    view = random_view(teacher=Signal(torch.full((8, 10), math.nan, dtype=torch.float64)))
    tables = [[softmax(row) for row in rows(teacher.logits)] for teacher in view.teachers]
    one_hot = sum(-math.log(max(row)) for table in tables for row in table) / (3 * 8)
    assert EachOneHotLoss(Options(), setting)(view).item() == pytest.approx(one_hot, rel=1e-9)
    means = [[sum(column) / 8 for column in zip(*table, strict=True)] for table in tables]
    balance = sum(m * math.log10(m) for mean in means for m in mean) / 3
    loss = EachClassEntropyLoss(ClassEntropyOptions(log_base=10), setting)(view)
    assert loss.item() == pytest.approx(balance, rel=1e-9)
    strength = sum(abs(entry) for teacher in view.teachers for row in rows(teacher.features) for entry in row)
    assert EachActivationLoss(Options(), setting)(view).item() == pytest.approx(-strength / (3 * 8 * 5), rel=1e-9)

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.seams import Setting, Signal, View
from dfkdbench_zskt.attention_transfer import AttentionTransferLoss, attention_map
from dfkdbench_zskt.options import AttentionTransferOptions

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
Stages = Sequence[Tensor]


def loss_of(**options: Any) -> Callable[[Stages, Stages], Tensor]:
    loss = AttentionTransferLoss(AttentionTransferOptions.model_validate(options), SETTING)

    def call(teacher: Stages, student: Stages) -> Tensor:
        target = Signal(torch.zeros(4, 10), stages=tuple(teacher))
        return loss(View(torch.zeros(4), target, (target,), Signal(torch.zeros(4, 10), stages=tuple(student))))

    return call


def stages(seed: int, *shapes: tuple[int, int, int]) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(4, *shape, generator=rng, dtype=torch.float64) for shape in shapes]


def plain_distance(teacher: Tensor, student: Tensor) -> float:
    """Squared distance of unit maps, summed over batch and positions, entry by entry."""
    total = 0.0
    for t, s in zip(teacher, student, strict=True):
        maps = []
        for activation in (t, s):
            squares = [[(activation[:, i, j] ** 2).mean().item() for j in range(t.shape[2])] for i in range(t.shape[1])]
            norm = sum(entry**2 for row in squares for entry in row) ** 0.5
            maps.append([entry / norm for row in squares for entry in row])
        total += sum((a - b) ** 2 for a, b in zip(*maps, strict=True))
    return total


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_attention_transfer__equals_the_formula(reduction: str) -> None:
    teacher, student = stages(0, (6, 5, 4), (8, 2, 3)), stages(1, (3, 5, 4), (5, 2, 3))
    distances = [plain_distance(t, s) for t, s in zip(teacher, student, strict=True)]
    areas = (20, 6) if reduction == "mean" else (1, 1)
    expected = sum(distance / (4 * area) for distance, area in zip(distances, areas, strict=True))
    assert loss_of(reduction=reduction)(teacher, student).item() == pytest.approx(expected, rel=1e-12)


def test_attention_transfer__is_zero_for_proportional_maps_whatever_sign_and_scale() -> None:
    teacher = stages(0, (6, 5, 4))
    assert loss_of()(teacher, [-3.0 * teacher[0]]).item() == pytest.approx(0.0, abs=1e-30)
    student = stages(1, (3, 5, 4))
    scaled = loss_of()([7.0 * teacher[0]], [0.1 * student[0]])
    torch.testing.assert_close(scaled, loss_of()(teacher, student))


@pytest.mark.parametrize(("size", "bound"), [(32, 0.49), (16, 1.95), (8, 7.81)])
def test_attention_transfer__bounds_of_the_official_weight(size: int, bound: float) -> None:
    teacher, student = torch.zeros(4, 1, size, size), torch.zeros(4, 1, size, size)
    teacher[:, :, 0, 0], student[:, :, 1, 1] = 5.0, 2.0
    assert 250 * loss_of()([teacher], [student]).item() == pytest.approx(bound, abs=0.005)
    assert loss_of(reduction="sum")([teacher], [student]).item() == pytest.approx(2.0)


def test_attention_transfer__of_a_single_position_is_zero() -> None:
    assert loss_of()(stages(0, (6, 1, 1)), stages(1, (3, 1, 1))) == 0


def test_attention_transfer__of_stages_that_are_dead_has_finite_gradient() -> None:
    student = torch.zeros(4, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    loss = loss_of()(stages(0, (6, 5, 4)), [student])
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_attention_map__is_in_float32_at_least() -> None:
    half = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert attention_map(half).dtype == torch.float32
    assert attention_map(half.double()).dtype == torch.float64


def test_attention_transfer__refuses_stages_of_different_sizes() -> None:
    with pytest.raises(PlanError, match=r"the teacher's have 5x4, 2x3, the student's 5x4.*--loss attention_transfer=0"):
        loss_of()(stages(0, (6, 5, 4), (8, 2, 3)), stages(1, (3, 5, 4)))


def test_attention_transfer__refuses_a_target_without_stages() -> None:
    with pytest.raises(PlanError, match=r"needs the teachers' stages.*aggregator 'first'"):
        loss_of()([], stages(1, (3, 5, 4)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_attention_map__gradient_is_laid_out_as_the_activations(layout: torch.memory_format) -> None:
    given = torch.randn(4, 6, 8, 8, generator=torch.Generator().manual_seed(0))
    activations, plain = given.to(memory_format=layout).requires_grad_(), given.clone().requires_grad_()
    maps = attention_map(activations)
    expected = torch.nn.functional.normalize(plain.square().mean(dim=1).flatten(1), dim=1)
    torch.testing.assert_close(maps, expected)
    (gradient,) = torch.autograd.grad(maps[:, 0].sum(), activations)
    assert gradient.is_contiguous(memory_format=layout)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected[:, 0].sum(), plain)[0])

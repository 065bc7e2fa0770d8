from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.seams import Setting, View
from dfkdbench_cmi.contrastive import ContrastiveLoss
from dfkdbench_cmi.options import ContrastiveOptions

MakeSetting = Callable[..., Setting]
ViewOf = Callable[..., View]


def make_loss(setting: Setting, **options: Any) -> ContrastiveLoss:
    torch.manual_seed(0)
    return ContrastiveLoss(ContrastiveOptions(**{"bank_size": 40, "negatives": 24, "width": 8} | options), setting)


def images_of(count: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def one_call(loss: ContrastiveLoss, view_of: ViewOf, totals: list[float], seed: int = 0) -> list[Tensor]:
    """A call of fit with these objectives; gives the whole views' features of each step."""
    features = []
    for step, total in enumerate(totals):
        view = view_of(images_of(seed=seed + step))
        torch.autograd.backward(loss(view))
        features.append(loss.instances(view.teacher))
        loss.judge(torch.tensor(total))
    loss.settle()
    return features


def reference(loss: ContrastiveLoss, local: Tensor, whole: Tensor, bank: Tensor, temperature: float) -> float:
    """Row by row, with plain Python numbers."""

    def embed(rows: Tensor) -> list[list[float]]:
        outputs = loss.head(rows).tolist()
        return [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in outputs]

    anchors, candidates = embed(torch.cat([local, bank[0]])), embed(torch.cat([whole, bank[1]]))
    rows = []
    for index, anchor in enumerate(anchors):
        similar = [sum(a * c for a, c in zip(anchor, other, strict=True)) / temperature for other in candidates]
        rows.append(math.log(sum(math.exp(value) for value in similar)) - similar[index])
    count = len(local)
    return sum(rows[:count]) / count + (sum(rows[count:]) / len(bank[0]) if len(bank[0]) else 0.0)


@pytest.mark.parametrize("remembered", [0, 7])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_compare__equals_the_formula(make_setting: MakeSetting, remembered: int, temperature: float) -> None:
    loss = make_loss(make_setting(), temperature=temperature)
    loss.head.double()
    rng = torch.Generator().manual_seed(1)
    local, whole = torch.randn(2, 5, 16, generator=rng, dtype=torch.float64)
    bank = torch.randn(2, remembered, 16, generator=rng, dtype=torch.float64)
    value = loss.compare(local, whole, *bank).item()
    assert value == pytest.approx(reference(loss, local, whole, bank, temperature), rel=1e-9)


def test_compare__uninformative_features_cost_the_logarithm_of_the_rows(make_setting: MakeSetting) -> None:
    loss = make_loss(make_setting())
    same, bank = torch.ones(256, 16), torch.ones(100, 16)
    assert loss.compare(same, same, bank[:0], bank[:0]).item() == pytest.approx(math.log(256), rel=1e-5)
    assert loss.compare(same, same, bank, bank).item() == pytest.approx(2 * math.log(356), rel=1e-5)
    assert loss.compare(same[:1], same[:1], bank[:0], bank[:0]).item() == 0


def test_compare__head_output_has_unit_norm(make_setting: MakeSetting) -> None:
    loss = make_loss(make_setting(), temperature=1.0)
    rows = torch.randn(4, 16)
    with torch.no_grad():
        norms = loss._embed(rows).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(4))


def test_loss__gradient_reaches_images_through_the_local_view_only(make_setting: MakeSetting, view_of: ViewOf) -> None:
    images, originals = images_of().requires_grad_(), images_of(seed=9).requires_grad_()
    value = make_loss(make_setting())(view_of(images, originals))
    of_images, of_originals = torch.autograd.grad(value, [images, originals], allow_unused=True)
    assert of_images is None
    assert of_originals.abs().sum() > 0
    value = make_loss(make_setting())(view_of(images))
    assert torch.autograd.grad(value, images)[0].abs().sum() > 0


def test_loss__head_learns_from_the_anchors_alone(make_setting: MakeSetting) -> None:
    loss = make_loss(make_setting())
    rng = torch.Generator().manual_seed(1)
    local, whole = torch.randn(2, 5, 16, generator=rng)
    bank = torch.randn(2, 3, 16, generator=rng)
    parameters = list(loss.head.parameters())
    gradients = torch.autograd.grad(loss.compare(local, whole, *bank), parameters)
    with torch.no_grad():
        candidates = loss._embed(torch.cat([whole, bank[1]]))
    logits = loss._embed(torch.cat([local, bank[0]])) @ candidates.T / 0.1
    picked = logits.log_softmax(1).diagonal()
    expected = torch.autograd.grad(-picked[:5].mean() - picked[5:].mean(), parameters)
    for mine, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(mine, other)


def test_head__is_trained_step_by_step_as_if_after_every_backward(make_setting: MakeSetting, view_of: ViewOf) -> None:
    loss, eager = make_loss(make_setting()), make_loss(make_setting())
    adam = torch.optim.Adam(eager.head.parameters(), 1e-3)
    for step in range(3):
        view = view_of(images_of(seed=step))
        torch.autograd.backward(loss(view))
        eager._optimizer.zero_grad()
        torch.autograd.backward(eager(view))
        adam.step()
        eager._optimizer.zero_grad()
    loss.settle()
    for mine, other in zip(loss.head.parameters(), eager.head.parameters(), strict=True):
        assert mine.grad is None
        torch.testing.assert_close(mine, other)


def test_head__learns_to_tell_images_apart_within_a_call(make_setting: MakeSetting, view_of: ViewOf) -> None:
    loss = make_loss(make_setting(), lr=0.01)
    images = 0.3 * images_of() + torch.linspace(-2, 2, 16).view(16, 1, 1, 1)
    values = []
    for _ in range(40):
        value = loss(view_of(images))
        torch.autograd.backward(value)
        values.append(value.item())
    assert values[0] <= math.log(16) + 1
    assert sum(values[-5:]) < 0.8 * sum(values[:5])


def test_memory__keeps_the_features_of_the_lowest_objective(make_setting: MakeSetting, view_of: ViewOf) -> None:
    loss = make_loss(make_setting())
    first = one_call(loss, view_of, [3.0, 1.0, 2.0])
    assert loss.stored == 16
    assert torch.equal(loss._bank[1, :16], first[1])
    second = one_call(loss, view_of, [5.0, 6.0], seed=20)
    assert loss.stored == 32
    assert torch.equal(loss._bank[1, 16:32], second[0])
    third = one_call(loss, view_of, [1.0], seed=40)
    assert loss.stored == 40
    assert torch.equal(loss._bank[1, 32:], third[0][:8])
    assert torch.equal(loss._bank[1, :8], third[0][8:])
    assert torch.equal(loss._bank[1, 16:32], second[0])


def test_memory__is_compared_with_once_there_is_any(make_setting: MakeSetting, view_of: ViewOf) -> None:
    loss, forgetful = make_loss(make_setting()), make_loss(make_setting(), negatives=0)
    for each in (loss, forgetful):
        one_call(each, view_of, [1.0])
    view = view_of(images_of(seed=5))
    assert loss(view).item() > forgetful(view).item() + 1


def test_state__resumes_exactly(make_setting: MakeSetting, view_of: ViewOf) -> None:
    loss, resumed = make_loss(make_setting()), make_loss(make_setting(seed=4))
    one_call(loss, view_of, [2.0, 1.0])
    one_call(resumed, view_of, [1.0], seed=70)
    resumed.load_state_dict(copy.deepcopy(loss.state_dict()))
    for each in (loss, resumed):
        one_call(each, view_of, [2.0, 1.0], seed=30)
    assert torch.equal(loss._bank[:, :32], resumed._bank[:, :32])
    view = view_of(images_of(seed=50))
    assert torch.equal(loss(view), resumed(view))


@pytest.mark.parametrize("instances", ["batch_norm", "stages"])
def test_instances__are_the_spatial_means_side_by_side(
    make_setting: MakeSetting, view_of: ViewOf, instances: str
) -> None:
    loss = make_loss(make_setting(), instances=instances)
    target = view_of(images_of()).teacher
    parts = [stage.mean((2, 3)) for stage in target.stages] if instances == "stages" else target.batch_norm_means
    assert torch.equal(loss.instances(target), torch.cat(tuple(parts), 1))


def test_instances__a_teacher_without_them_is_refused(make_setting: MakeSetting, view_of: ViewOf) -> None:
    with pytest.raises(PlanError, match=r"teacher's batch norm.*instances=stages"):
        make_loss(make_setting(teacher_shapes={"stages": (6, 10)}))
    view = view_of(images_of())
    bare = view.teacher._replace(batch_norm_means=())
    with pytest.raises(PlanError, match="several teachers' differ in shape"):
        make_loss(make_setting())(view._replace(teacher=bare))

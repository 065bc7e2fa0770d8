from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dfkdbench.parts.losses.l2_norm import L2NormLoss
from dfkdbench.parts.losses.label import LabelLoss
from dfkdbench.parts.losses.total_variation import TotalVariationLoss
from dfkdbench.parts.options import L2NormOptions, LabelOptions, TotalVariationOptions
from dfkdbench.seams import Setting, Signal, View

MakeSetting = Callable[..., Setting]
LOGITS = torch.zeros(2, 3, dtype=torch.float64)


def random_images(seed: int = 0) -> Tensor:
    return torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def view_of_images(images: Tensor) -> View:
    return View(images, Signal(LOGITS), (Signal(LOGITS),))


def view_of_labels(logits: Tensor, labels: Tensor | None) -> View:
    return View(torch.zeros(len(logits)), Signal(logits), (Signal(logits),), labels=labels)


def directions(images: Tensor) -> list[list[float]]:
    """Differences to the pixel right, below, below right and below left, pixel by pixel."""
    found: list[list[float]] = [[], [], [], []]
    _, _, height, width = images.shape
    for plane in images.flatten(0, 1).tolist():
        for i in range(height):
            for j in range(width):
                for index, (di, dj) in enumerate(((0, 1), (1, 0), (1, 1), (1, -1))):
                    if i + di < height and 0 <= j + dj < width:
                        found[index].append(plane[i + di][j + dj] - plane[i][j])
    return found


def test_total_variation__equals_the_formula(make_setting: MakeSetting) -> None:
    images = random_images()
    expected = sum(math.sqrt(sum(d * d for d in direction)) for direction in directions(images))
    loss = TotalVariationLoss(TotalVariationOptions(), make_setting())
    assert loss(view_of_images(images)).item() == pytest.approx(expected, rel=1e-12)


def test_total_variation__as_mean_magnitude(make_setting: MakeSetting) -> None:
    images = random_images()
    expected = sum(sum(abs(d) for d in direction) / len(direction) for direction in directions(images))
    loss = TotalVariationLoss(TotalVariationOptions(norm="l1"), make_setting())
    assert loss(view_of_images(images)).item() == pytest.approx(expected, rel=1e-12)


def test_total_variation__of_constant_images_is_zero_with_zero_gradient(make_setting: MakeSetting) -> None:
    images = torch.full((2, 1, 4, 4), 3.0, requires_grad=True)
    loss = TotalVariationLoss(TotalVariationOptions(), make_setting())(view_of_images(images))
    (gradient,) = torch.autograd.grad(loss, images)
    assert loss == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("over", ["batch", "image"])
def test_l2_norm__equals_the_formula(make_setting: MakeSetting, over: str) -> None:
    images = random_images()
    squares = [sum(x * x for x in image) for image in images.flatten(1).tolist()]
    expected = math.sqrt(sum(squares)) if over == "batch" else sum(map(math.sqrt, squares)) / 3
    loss = L2NormLoss(L2NormOptions.model_validate({"over": over}), make_setting())
    assert loss(view_of_images(images)).item() == pytest.approx(expected, rel=1e-12)


def test_norms__of_a_batch_twice_as_large_by_copies(make_setting: MakeSetting) -> None:
    images = random_images()
    once, twice = view_of_images(images), view_of_images(images.repeat(2, 1, 1, 1))
    batchwise = (
        TotalVariationLoss(TotalVariationOptions(), make_setting()),
        L2NormLoss(L2NormOptions(), make_setting()),
    )
    for loss in batchwise:
        torch.testing.assert_close(loss(twice), math.sqrt(2) * loss(once))
    imagewise = L2NormLoss(L2NormOptions(over="image"), make_setting())
    torch.testing.assert_close(imagewise(twice), imagewise(once))


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_label__of_classes_and_of_soft_labels_equals_the_formula(make_setting: MakeSetting, temperature: float) -> None:
    rng = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(6, 4, generator=rng, dtype=torch.float64)
    soft = torch.softmax(torch.randn(6, 4, generator=rng, dtype=torch.float64), 1)
    scaled = (logits / temperature).tolist()
    logs = torch.tensor([[z - math.log(sum(map(math.exp, row))) for z in row] for row in scaled], dtype=torch.float64)
    loss = LabelLoss(LabelOptions(temperature=temperature), make_setting())
    torch.testing.assert_close(loss(view_of_labels(logits, soft)), -(soft * logs).sum(1).mean())
    classes = torch.tensor([0, 1, 2, 3, 0, 1])
    expected = -sum(logs[i, k] for i, k in enumerate(classes.tolist())) / 6
    torch.testing.assert_close(loss(view_of_labels(logits, classes)), expected)


def test_label__soft_label_is_matched_at_its_entropy_with_the_textbook_gradient(make_setting: MakeSetting) -> None:
    soft = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6]], dtype=torch.float64)
    loss = LabelLoss(LabelOptions(temperature=20.0), make_setting())
    entropy = -(soft * soft.log()).sum(1).mean()
    torch.testing.assert_close(loss(view_of_labels(20 * soft.log() + 7, soft)), entropy)
    logits = torch.tensor([[3.0, -4.0, 9.0], [0.0, 1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(view_of_labels(logits, soft)), logits)
    torch.testing.assert_close(gradient, (torch.softmax(logits.detach() / 20, 1) - soft) / 20 / 2)


def test_label__without_labels(make_setting: MakeSetting) -> None:
    with pytest.raises(ValueError, match="no labels"):
        LabelLoss(LabelOptions(), make_setting())(view_of_labels(LOGITS, None))

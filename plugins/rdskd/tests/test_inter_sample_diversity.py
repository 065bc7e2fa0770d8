from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dfkdbench.errors import PlanError
from dfkdbench.seams import Setting, View
from dfkdbench_rdskd.inter_sample_diversity import InterSampleDiversityLoss
from dfkdbench_rdskd.options import InterSampleDiversityOptions

MakeSetting = Callable[..., Setting]
ViewOf = Callable[[Tensor, Tensor], View]


@pytest.fixture
def make(make_setting: MakeSetting) -> Callable[..., InterSampleDiversityLoss]:
    return lambda **options: InterSampleDiversityLoss(
        InterSampleDiversityOptions.model_validate(options), make_setting()
    )


def images_and_logits(rows: int = 8, shape: tuple[int, ...] = (1, 8, 8)) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(rows, *shape, generator=rng, dtype=torch.float64)
    return images, 3 * torch.randn(rows, 10, generator=rng, dtype=torch.float64)


def half_distances(images: Tensor, logits: Tensor) -> list[tuple[float, float]]:
    """Per pair: distance of images and of probabilities."""
    exponentials = torch.exp(logits)
    outputs = exponentials / exponentials.sum(1, keepdim=True)
    half = len(images) // 2
    return [
        tuple(math.dist(x[i].flatten().tolist(), x[i + half].flatten().tolist()) for x in (images, outputs))  # type: ignore[misc]
        for i in range(half)
    ]


def test_diversity__is_one_global_ratio_of_frobenius_norms(make: Any, view_of: ViewOf) -> None:
    images, logits = images_and_logits()
    pairs = half_distances(images, logits)
    expected = math.hypot(*(p for _, p in pairs)) / math.hypot(*(x for x, _ in pairs))
    assert make()(view_of(images, logits)).item() == pytest.approx(expected, rel=1e-9)
    official = 1 / (math.hypot(*(x for x, _ in pairs)) / math.hypot(*(p for _, p in pairs)) + 1e-20)
    assert make()(view_of(images, logits)).item() == pytest.approx(official, rel=1e-9)


def test_diversity__per_pair_is_the_mean_of_ratios(make: Any, view_of: ViewOf) -> None:
    images, logits = images_and_logits()
    pairs = half_distances(images, logits)
    expected = sum(p / x for x, p in pairs) / len(pairs)
    assert make(ratio="per_pair")(view_of(images, logits)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("ratio", ["global", "per_pair"])
def test_diversity__shrinks_as_images_grow(make: Any, view_of: ViewOf, ratio: str) -> None:
    images, logits = images_and_logits()
    loss = make(ratio=ratio)
    torch.testing.assert_close(loss(view_of(4 * images, logits)), loss(view_of(images, logits)) / 4)


@pytest.mark.parametrize("ratio", ["global", "per_pair"])
@pytest.mark.parametrize("same_images", [False, True])
def test_diversity__of_equal_outputs_is_zero_with_finite_gradient(
    make: Any, view_of: ViewOf, ratio: str, same_images: bool
) -> None:
    images, logits = images_and_logits()
    logits = logits[:4].repeat(2, 1).requires_grad_()
    images = (images[:4].repeat(2, 1, 1, 1) if same_images else images).requires_grad_()
    loss = make(ratio=ratio)(view_of(images, logits))
    assert loss == 0
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, [images, logits]))


def test_diversity__gradient_pushes_the_halves_apart(make: Any, view_of: ViewOf) -> None:
    images, logits = images_and_logits()
    images.requires_grad_()
    loss = make()(view_of(images, logits))
    (gradient,) = torch.autograd.grad(loss, images)
    moved = (images - 0.1 * gradient).detach()
    before, after = ((x[4:] - x[:4]).norm() for x in (images.detach(), moved))
    assert after > before


@pytest.mark.parametrize(("channels", "distance", "bound"), [(1, 724, 0.0313), (3, 1254, 0.0181)])
def test_diversity__magnitude_for_standardised_images(
    make_setting: MakeSetting, view_of: ViewOf, channels: int, distance: int, bound: float
) -> None:
    images = torch.randn(512, channels, 32, 32, generator=torch.Generator().manual_seed(0))
    assert (images[256:] - images[:256]).norm().item() == pytest.approx(distance, rel=0.01)
    opposite = 1000 * torch.eye(10)[torch.arange(512) // 256]
    loss = InterSampleDiversityLoss(InterSampleDiversityOptions(), make_setting(batch_size=512))
    assert loss(view_of(images, opposite)).item() == pytest.approx(bound, rel=0.01)


def test_diversity__refuses_odd_batches(make_setting: MakeSetting) -> None:
    with pytest.raises(PlanError, match=r"batch_size must be even; it is 7\. Use --set batch_size=8"):
        InterSampleDiversityLoss(InterSampleDiversityOptions(), make_setting(batch_size=7))


def test_diversity__reads_nothing_on_the_host(
    make: Any, view_of: ViewOf, host_reads_forbidden: TorchDispatchMode
) -> None:
    loss, view = make(), view_of(*images_and_logits())
    with host_reads_forbidden:
        loss(view)

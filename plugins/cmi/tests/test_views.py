from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dfkdbench_cmi.views import random_resized_crop


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def ramp(count: int = 64, size: int = 16) -> Tensor:
    """Images whose pixels hold their own row (channel 0) and column (channel 1)."""
    rows = torch.arange(size, dtype=torch.float64).view(1, 1, size, 1).expand(count, 1, size, size)
    return torch.cat([rows, rows.transpose(2, 3)], 1)


def test_local_view__whole_area_without_mirror_of_a_square_is_close_to_the_image() -> None:
    views = random_resized_crop(ramp(), 1.0, False, rng())
    assert (views - ramp()).abs().max() < 2.5
    assert views.shape == ramp().shape


def test_local_view__shows_boxes_of_the_promised_area_at_a_constant_slope() -> None:
    views = random_resized_crop(ramp(400), 0.25, False, rng())
    inner = views[:, :, 4:12, 4:12]
    down, across = inner[:, 0].diff(dim=1), inner[:, 1].diff(dim=2)
    torch.testing.assert_close(down, down[:, :1, :1].expand_as(down), atol=1e-5, rtol=0)
    areas = down[:, 0, 0] * across[:, 0, 0]
    assert areas.min() >= 0.2499
    assert areas.max() <= 1.0001
    assert areas.mean().item() == pytest.approx(0.61, abs=0.04)
    assert views.min() >= 0
    assert views.max() <= 15


def test_local_view__mirrors_half_the_time() -> None:
    views = random_resized_crop(ramp(400), 0.5, True, rng())
    mirrored = (views[:, 1, 8, 12] < views[:, 1, 8, 4]).double().mean().item()
    assert mirrored == pytest.approx(0.5, abs=0.08)
    assert (views[:, 0, 12, 8] > views[:, 0, 4, 8]).all()


def test_local_view__is_bilinear_and_differentiable() -> None:
    images = torch.rand(3, 2, 5, 7, dtype=torch.float64, requires_grad=True)
    constant = random_resized_crop(torch.ones_like(images), 0.25, True, rng())
    torch.testing.assert_close(constant, torch.ones_like(images))
    assert torch.autograd.gradcheck(lambda x: random_resized_crop(x, 0.25, True, rng()), (images,))


def test_local_view__agrees_with_affine_sampling() -> None:
    images = torch.rand(8, 1, 16, 16, dtype=torch.float64)
    area, ratio, top, left, _ = torch.rand(5, 8, generator=rng()).double()
    area, ratio = 0.25 + 0.75 * area, ((2 * ratio - 1) * torch.tensor(4 / 3).double().log()).exp()
    tall, wide = (area / ratio).sqrt().clamp(max=1), (area * ratio).sqrt().clamp(max=1)
    theta = torch.zeros(8, 2, 3, dtype=torch.float64)
    theta[:, 0, 0], theta[:, 1, 1] = wide, tall
    theta[:, 0, 2] = 2 * left * (1 - wide) + wide - 1
    theta[:, 1, 2] = 2 * top * (1 - tall) + tall - 1
    grid = torch.nn.functional.affine_grid(theta, [8, 1, 16, 16], align_corners=False)
    expected = torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(random_resized_crop(images, 0.25, False, rng()), expected, atol=1e-5, rtol=0)

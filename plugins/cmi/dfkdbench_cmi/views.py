"""The local view: a random part of every image, enlarged to its size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

RATIO = 4 / 3


def random_resized_crop(images: Tensor, smallest_area: float, flip: bool, rng: torch.Generator) -> Tensor:
    """Of each image a box of random area, shape and place, enlarged bilinearly to the image's size.

    The area is uniform in [smallest_area, 1], the logarithm of the ratio of the sides uniform in [-ln 4/3, ln 4/3];
    a side that would exceed the image is cut to it. The enlargement is two matrix products, one along each side, whose
    backward pass is deterministic on every device.

    Args:
        images: (B, C, H, W).
        smallest_area: As a fraction of the image's.
        flip: Whether views are mirrored half the time.
    """
    count, _, height, width = images.shape
    area, ratio, top, left, mirror = torch.rand(5, count, device=images.device, generator=rng)
    area = smallest_area + (1 - smallest_area) * area
    ratio = ((2 * ratio - 1) * math.log(RATIO)).exp()
    tall = (area / ratio).sqrt().clamp(max=1)
    wide = (area * ratio).sqrt().clamp(max=1)
    rows = _sampling(height, top * (1 - tall), tall)
    columns = _sampling(width, left * (1 - wide), wide)
    if flip:
        columns = torch.where((mirror < 0.5).view(-1, 1, 1), columns.flip(1), columns)
    rows, columns = rows.to(images.dtype), columns.to(images.dtype)
    return rows.unsqueeze(1) @ images @ columns.unsqueeze(1).transpose(2, 3)


def _sampling(size: int, start: Tensor, extent: Tensor) -> Tensor:
    """Weights (B, size, size) of the pixels along one side in each pixel of the view; rows sum to 1."""
    steps = torch.arange(size, device=start.device)
    places = (start.unsqueeze(1) + extent.unsqueeze(1) * (steps + 0.5) / size) * size - 0.5
    places = places.clamp(0, size - 1)
    return (1 - (places.unsqueeze(2) - steps).abs()).clamp(min=0)

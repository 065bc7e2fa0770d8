"""Random affine views of a batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LARGEST_ANGLE = math.pi / 2
SMALLEST_SCALE = 0.6
LARGEST_SHIFT = 0.2


def random_affine(images: Tensor, rng: torch.Generator) -> Tensor:
    """Each image turned by up to 90 degrees, shrunk to no less than 0.6, shifted by up to a fifth and mirrored.

    One draw from the family of the 106 fixed views per image in ZSKD's official code (Nayak et al., ICML 2019), without
    its noise. What lies outside an image is 0.

    Args:
        images: (B, C, H, W).
    """
    count, device = len(images), images.device
    u = torch.rand(5, count, device=device, generator=rng)
    angle = (2 * u[0] - 1) * LARGEST_ANGLE
    zoom = 1 / (SMALLEST_SCALE + (1 - SMALLEST_SCALE) * u[1])
    shift = (2 * u[2:4] - 1) * 2 * LARGEST_SHIFT
    mirror = torch.where(u[4] < 0.5, -1.0, 1.0)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    rows = (torch.stack([cosine * mirror, -sine, shift[0]], 1), torch.stack([sine * mirror, cosine, shift[1]], 1))
    grid = F.affine_grid(torch.stack(rows, 1).to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)

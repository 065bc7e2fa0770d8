"""The one augmentation: random crop and mirror, batched on the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def random_crop(images: Tensor, flip: bool, generator: torch.Generator, border: Tensor | None = None) -> Tensor:
    """Each image padded by an eighth of its side, cropped to its size at random, and mirrored half the time.

    Args:
        images: (B, C, S, S).
        flip: Whether images are mirrored.
        border: What images are padded with, broadcast against them (1, C, 1, 1); zero without. Black is zero
            only where images are not normalised.
    """
    if border is not None:
        return random_crop(images - border, flip, generator) + border
    count, channels, size, _ = images.shape
    pad = size // 8
    device = images.device
    padded = F.pad(images, (pad, pad, pad, pad))
    top, left = torch.randint(0, 2 * pad + 1, (2, count, 1, 1, 1), generator=generator, device=device)
    along = torch.arange(size, device=device)
    columns = along.view(1, 1, 1, size)
    if flip:
        mirrored = torch.randint(0, 2, (count, 1, 1, 1), generator=generator, device=device, dtype=torch.bool)
        columns = torch.where(mirrored, size - 1 - columns, columns)
    sample = torch.arange(count, device=device).view(count, 1, 1, 1)
    channel = torch.arange(channels, device=device).view(1, channels, 1, 1)
    return padded[sample, channel, top + along.view(1, 1, size, 1), left + columns]

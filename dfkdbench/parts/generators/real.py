"""The real training set in the generator's place. For controls on the judge's side only."""

from __future__ import annotations

import torch
from dfkdbench.parts.options import RealOptions
from torch import Tensor

from dfkdbench.seams import Batch, Objective, Setting, Stateless


class RealImages(Stateless):
    """Labelled real samples drawn uniformly, with replacement, optionally cropped and flipped.

    There is nothing to train: `fit` does nothing. Its randomness lives in the run's random streams.

    Args:
        options: Augmentation.
        setting: Must carry real samples, which the judge gives to controls only.

    Raises:
        ValueError: The setting carries no real samples.
    """

    def __init__(self, options: RealOptions, setting: Setting) -> None:
        if setting.real is None or setting.real.labels is None:
            raise ValueError("real samples are given to controls on the judge's side only; here there are none")
        self._images, self._labels = setting.real.images, setting.real.labels
        self._augment = options.augment
        self._rng = setting.rng("batches")

    def fit(self, objective: Objective, steps: int) -> None:
        """Nothing: real images are not trained."""

    def train(self, mode: bool = True) -> None:
        """Nothing: there are no modes."""

    @torch.no_grad()
    def sample(self, count: int) -> Batch:
        """Images (count, C, H, W) in the teacher's input space, with their labels."""
        device = self._images.device
        chosen = torch.randint(len(self._images), (count,), device=device, generator=self._rng)
        images = self._images[chosen]
        return Batch(self._shift_and_flip(images) if self._augment else images, self._labels[chosen])

    def _shift_and_flip(self, images: Tensor) -> Tensor:
        """Each image moved by up to an eighth of its side, zeros moving in, and mirrored half of the time."""
        count, _, size, _ = images.shape
        reach = size // 8
        padded = torch.nn.functional.pad(images, (reach, reach, reach, reach))
        offsets = torch.randint(2 * reach + 1, (2, count, 1), device=images.device, generator=self._rng)
        mirrored = torch.randint(2, (count, 1), device=images.device, generator=self._rng, dtype=torch.bool)
        along = torch.arange(size, device=images.device).expand(count, size)
        rows = (along + offsets[0])[:, None, :, None]
        columns = (torch.where(mirrored, size - 1 - along, along) + offsets[1])[:, None, None, :]
        batch = torch.arange(count, device=images.device)[:, None, None, None]
        channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
        return padded[batch, channels, rows, columns]

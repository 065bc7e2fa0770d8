"""The real training set in the generator's place. For controls on the judge's side only."""

from __future__ import annotations

import torch

from dfkdbench.augment import random_crop
from dfkdbench.parts.options import RealOptions
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
        self._augmentation = options.augmentation
        mean, std = (torch.tensor(values, device=setting.device) for values in (setting.pixel_mean, setting.pixel_std))
        self._black = (-mean / std).view(1, -1, 1, 1)
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
        images, kind = self._images[chosen], self._augmentation
        if kind != "none":
            images = random_crop(images, kind == "crop_flip", self._rng, self._black)
        return Batch(images, self._labels[chosen])

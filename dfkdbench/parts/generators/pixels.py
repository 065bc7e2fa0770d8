"""Images under optimisation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfkdbench.augment import random_crop
from dfkdbench.errors import PlanError
from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.parts.options import PixelsOptions
from dfkdbench.parts.pool import ImagePool
from dfkdbench.seams import Batch, Objective, Setting


class PixelsGenerator:
    """Inverts the teacher: a batch of noise per `fit` is optimised for labels drawn beforehand, then kept in a pool.

    The inversion of DeepInversion (Yin et al., CVPR 2020). All steps of one batch run within one call of `fit`, with
    an optimiser that starts anew and whose schedule spans that call, so that only the pool outlives it. Every step sees
    the images shifted and mirrored at random, all images of the batch alike. The images of the last step are kept.

    With `enlarge` what is optimised is coarser than the images, which are its bilinear enlargement: a prior of smooth
    images, and far fewer ways to please one teacher with patterns of single pixels.

    `sample` draws from the pool. While the pool is empty, it gives images as they are before their first step, as an
    untrained network would.

    Args:
        options: Optimiser, where images start and may go, labels, pool.
        setting: Image shape, classes, batch size, normalisation, random generators.

    Raises:
        PlanError: A side of the images is not divisible by `enlarge`.
    """

    def __init__(self, options: PixelsOptions, setting: Setting) -> None:
        self._options = options
        channels, *sides = setting.image_shape
        if any(side % options.enlarge for side in sides):
            raise PlanError(
                f"Images of {sides[0]}x{sides[1]} pixels can't be enlarged from {options.enlarge} times smaller ones: "
                f"their sides are not divisible by {options.enlarge}. Choose another --set generator.enlarge."
            )
        self._shape = setting.image_shape
        self._coarse_shape = (channels, *(side // options.enlarge for side in sides))
        self._enlargements = tuple(_enlargement(side, options.enlarge).to(setting.device) for side in sides)
        self._classes = setting.classes
        self._device = setting.device
        self._batch_size = options.batch_size or setting.batch_size
        self._mean = self._per_channel(setting.pixel_mean)
        self._std = self._per_channel(setting.pixel_std)
        self.black = -self._mean / self._std
        roles = ("start", "views", "labels", "draws", "augmentation")
        self._rngs = {role: setting.rng(f"generator.{role}") for role in roles}
        self._pixels = nn.Parameter(torch.zeros(self._batch_size, *self._coarse_shape, device=setting.device))
        self._optimizer = build_optimizer(options.optimizer, [self._pixels], 0)
        self._pool = ImagePool(options.capacity, setting.image_shape, setting.device)
        self._labelled = 0

    def fit(self, objective: Objective, steps: int) -> None:
        """Optimises one fresh batch for `steps` steps and puts it into the pool."""
        if not steps:
            return
        labels = self._label(self._batch_size)
        with torch.no_grad():
            self._pixels.copy_(self._start(self._batch_size))
        self._optimizer.restart(steps)
        for _ in range(steps):
            loss = objective(self._to_input(self._view(self._enlarge(self._pixels))), labels)
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            self._optimizer.step()
            self._bound(self._pixels)
        self._pool.append(self._to_input(self._enlarge(self._pixels.detach())), labels)

    @torch.no_grad()
    def sample(self, count: int) -> Batch:
        """Images from the pool, drawn uniformly with replacement, with the labels they were made for."""
        if not len(self._pool):
            return Batch(self._to_input(self._enlarge(self._start(count))), self._label(count))
        batch = self._pool.draw(count, self._rngs["draws"])
        return Batch(self.augment(batch.images, self._rngs["augmentation"]), batch.labels)

    def train(self, mode: bool = True) -> None:
        """Does nothing: pixels have no modes."""

    def state_dict(self) -> dict[str, Any]:
        """The pool, how many labels were given, and the states of the random generators."""
        return {
            "pool": self._pool.state_dict(),
            "labelled": self._labelled,
            "rngs": {role: rng.get_state() for role, rng in self._rngs.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave, in place."""
        self._pool.load_state_dict(state["pool"])
        self._labelled = state["labelled"]
        for role, rng in self._rngs.items():
            rng.set_state(state["rngs"][role])

    def draw_labels(self, first: int, count: int) -> Tensor:
        """Labels for the coming images: classes (count,), or soft labels (count, K) in subclasses.

        Args:
            first: How many labels were given before.
        """
        if self._options.labels == "random":
            return torch.randint(self._classes, (count,), device=self._device, generator=self._rngs["labels"])
        return (first + torch.arange(count, device=self._device)) % self._classes

    def augment(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """What the student gets to see of images (B, C, H, W) in the input space; a crop's border is black."""
        kind = self._options.augmentation
        if kind == "none":
            return images
        return random_crop(images, kind == "crop_flip", rng, self.black)

    def _label(self, count: int) -> Tensor:
        labels = self.draw_labels(self._labelled, count)
        self._labelled += count
        return labels

    def _start(self, count: int) -> Tensor:
        """Noise in the space that is optimised."""
        shape, rng = (count, *self._coarse_shape), self._rngs["start"]
        if self._options.start == "normal":
            return torch.randn(shape, device=self._device, generator=rng)
        return self._from_unit(torch.rand(shape, device=self._device, generator=rng))

    def _enlarge(self, coarse: Tensor) -> Tensor:
        """Images (B, C, H, W) of what is optimised."""
        if self._options.enlarge == 1:
            return coarse
        vertical, horizontal = self._enlargements
        return vertical @ coarse @ horizontal.T

    def _view(self, images: Tensor) -> Tensor:
        """The images shifted around their edges and mirrored, all of them alike."""
        if not (self._options.jitter or self._options.flip):
            return images
        rows, columns = (torch.arange(side, device=self._device) for side in self._shape[1:])
        rng, jitter = self._rngs["views"], self._options.jitter
        if jitter:
            shift = torch.randint(-jitter, jitter + 1, (2, 1), device=self._device, generator=rng)
            rows, columns = (rows + shift[0]) % len(rows), (columns + shift[1]) % len(columns)
        if self._options.flip:
            mirrored = torch.randint(2, (1,), device=self._device, generator=rng) == 1
            columns = torch.where(mirrored, columns.flip(0), columns)
        return images.index_select(2, rows).index_select(3, columns)

    @torch.no_grad()
    def _bound(self, pixels: Tensor) -> None:
        """Brings the pixels back into the range of valid ones, in place."""
        if self._options.bounds == "none":
            return
        unit = self._to_unit(pixels)
        if self._options.bounds == "clip":
            unit = unit.clamp(0, 1)
        else:
            low, high = unit.aminmax()
            unit = (unit - low) / (high - low).clamp(min=torch.finfo(unit.dtype).tiny)
        pixels.copy_(self._from_unit(unit))

    def _to_input(self, pixels: Tensor) -> Tensor:
        """From the space that is optimised to the teacher's."""
        return pixels if self._options.space == "input" else (pixels - self._mean) / self._std

    def _to_unit(self, pixels: Tensor) -> Tensor:
        return pixels if self._options.space == "unit" else pixels * self._std + self._mean

    def _from_unit(self, unit: Tensor) -> Tensor:
        return unit if self._options.space == "unit" else (unit - self._mean) / self._std

    def _per_channel(self, values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, device=self._device).view(-1, 1, 1)


def _enlargement(side: int, factor: int) -> Tensor:
    """The matrix (side, side / factor) that enlarges a row of pixels linearly, its ends held.

    A product with it has the same gradient on every run, which the framework's own interpolation does not promise on
    every device.
    """
    rows = torch.eye(side // factor).unsqueeze(1)
    return F.interpolate(rows, size=side, mode="linear", align_corners=False).squeeze(1).T.contiguous()

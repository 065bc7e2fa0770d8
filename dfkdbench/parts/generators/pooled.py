"""What generators share that fit a network for a while, keep the best images and let the student see a pool of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dfkdbench.augment import random_crop
from dfkdbench.parts.generators.networks import ConvNetwork, build_network
from dfkdbench.parts.options import Augmentation, ConvNetworkOptions, PooledOptions
from dfkdbench.parts.pool import ImagePool
from dfkdbench.seams import Batch, Setting

WEIGHT_SCALE = 0.02
LEVELS = 255


def build_pixel_network(options: PooledOptions, setting: Setting) -> ConvNetwork:
    """The convolutional network with pixels in 0..1, without biases before its batch norms.

    The generator of CMI and FastDFKD: 2,328,899 parameters for 256 latents and 3 x 32 x 32.

    Raises:
        PlanError: A side of the images is not divisible by 4.
    """
    network = ConvNetworkOptions(
        latent=options.latent, channels=options.channels, output_activation="sigmoid", output_norm="none"
    )
    return build_network(network, setting, inner_bias=False)


@torch.no_grad()
def redraw(modules: nn.Module, rng: torch.Generator, norm_mean: float = 1.0) -> None:
    """Draws all weights anew, in place: N(0, 0.02^2), batch-norm scales N(norm_mean, 0.02^2), biases 0."""
    for module in modules.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.BatchNorm2d):
            centre = norm_mean if isinstance(module, nn.BatchNorm2d) else 0.0
            module.weight.normal_(centre, WEIGHT_SCALE, generator=rng)
            if module.bias is not None:
                module.bias.zero_()


class BestImages:
    """Of several versions of a batch, the one with the lowest objective; decided on the device."""

    def __init__(self) -> None:
        self._lowest: Tensor | None = None
        self._images: Tensor | None = None

    @torch.no_grad()
    def consider(self, images: Tensor, objective: Tensor) -> None:
        """Keeps the images if their objective is below all before."""
        if self._lowest is None or self._images is None:
            self._lowest, self._images = objective.detach().clone(), images.detach().clone()
            return
        better = objective < self._lowest
        self._images = torch.where(better, images, self._images)
        self._lowest = torch.where(better, objective, self._lowest)

    @property
    def images(self) -> Tensor:
        """The images kept.

        Raises:
            ValueError: Nothing was considered.
        """
        if self._images is None:
            raise ValueError("no images were considered")
        return self._images


class PooledImages:
    """A pool of images with pixels in 0..1, the augmentation they are seen through, and their normalisation.

    The teacher's input space is normalised pixels. Images are cropped and mirrored before, so that the border that a
    crop brings in is black.

    Args:
        options: Augmentation and capacity.
        setting: Image shape, pixel mean and std, random generators.
    """

    def __init__(self, options: PooledOptions, setting: Setting) -> None:
        self._pool = ImagePool(options.capacity, setting.image_shape, setting.device)
        self._eight_bit = options.eight_bit
        self._augmentation: Augmentation = options.augmentation
        self._mean = torch.tensor(setting.pixel_mean, device=setting.device).view(1, -1, 1, 1)
        self._std = torch.tensor(setting.pixel_std, device=setting.device).view(1, -1, 1, 1)
        self._augment_rng = setting.rng("generator.augmentation")
        self._sample_rng = setting.rng("generator.pool")

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels in 0..1 in the teacher's input space."""
        return (pixels - self._mean) / self._std

    def augment(self, pixels: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Augmented and normalised pixels, in the graph of their argument."""
        if self._augmentation == "none":
            return self.normalise(pixels)
        flip = self._augmentation == "crop_flip"
        return self.normalise(random_crop(pixels, flip, self._augment_rng if rng is None else rng))

    def __len__(self) -> int:
        return len(self._pool)

    def append(self, pixels: Tensor, labels: Tensor) -> None:
        """Puts finished images into the pool."""
        pixels = pixels.detach()
        self._pool.append((pixels * LEVELS).round() / LEVELS if self._eight_bit else pixels, labels)

    @torch.no_grad()
    def sample(self, count: int) -> Batch:
        """Augmented images of the pool, drawn uniformly with replacement, with their labels."""
        pixels, labels = self._pool.draw(count, self._sample_rng)
        return Batch(self.augment(pixels, self._sample_rng), labels)

    def state_dict(self) -> dict[str, Any]:
        """The pool; the random streams are saved with the run."""
        return {"pool": self._pool.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._pool.load_state_dict(state["pool"])

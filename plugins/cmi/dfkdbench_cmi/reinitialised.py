"""A generator that starts anew for every batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dfkdbench.parts.generators.pooled import BestImages, PooledImages, build_pixel_network, redraw
from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.seams import Batch, Objective, Setting
from dfkdbench_cmi.options import ReinitialisedOptions


class ReinitialisedGenerator:
    """Fits a fresh network and its latents to one batch of classes, keeps the best images and forgets the network.

    The synthesis of CMI (Fang et al., IJCAI 2021): every call of `fit` draws weights, latents and classes anew, takes
    all its steps on weights and latents together and puts the images of the lowest objective into a pool. The objective
    sees the images cropped and mirrored at random, and as they are besides. `sample` draws from the pool; while
    it is empty it gives images of the untrained network.

    Args:
        options: Network, optimiser, augmentation, pool.
        setting: Image shape, classes, batch size, pixel mean and std, random generators.

    Raises:
        PlanError: The image size is not divisible by 4.
    """

    def __init__(self, options: ReinitialisedOptions, setting: Setting) -> None:
        self.network = build_pixel_network(options, setting)
        self.images = PooledImages(options, setting)
        self._optimizer = options.optimizer
        self._latent = options.latent
        self._batch_size = options.batch_size or setting.batch_size
        self._classes = setting.classes
        self._device = setting.device
        self._weights_rng = setting.rng("generator.weights")
        self._rng = setting.rng("generator.latents")

    def fit(self, objective: Objective, steps: int) -> None:
        """Makes one batch of images in `steps` steps and puts it into the pool."""
        if not steps:
            return
        redraw(self.network, self._weights_rng)
        latents, labels = self._draw(self._batch_size)
        latents = nn.Parameter(latents)
        optimizer = build_optimizer(self._optimizer, [*self.network.parameters(), latents], steps)
        best = BestImages()
        self.network.train()
        for _ in range(steps):
            pixels = self.network(latents)
            loss = objective(self.images.augment(pixels), labels, self.images.normalise(pixels))
            best.consider(pixels, loss)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        self.images.append(best.images, labels)

    @torch.no_grad()
    def sample(self, count: int) -> Batch:
        """Images from the pool, cropped and mirrored, with their classes."""
        if len(self.images):
            return self.images.sample(count)
        latents, labels = self._draw(count)
        return Batch(self.images.augment(self.network.train()(latents)), labels)

    def train(self, mode: bool = True) -> None:
        """Does nothing: the pool has no modes."""

    def state_dict(self) -> dict[str, Any]:
        """The pool, the network and the states of the random generators."""
        return {
            "images": self.images.state_dict(),
            "network": dict(self.network.state_dict()),
            "weights_rng": self._weights_rng.get_state(),
            "rng": self._rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave, in place."""
        self.images.load_state_dict(state["images"])
        self.network.load_state_dict(state["network"])
        self._weights_rng.set_state(state["weights_rng"])
        self._rng.set_state(state["rng"])

    def _draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Latents (count, Z) from N(0, I) and classes (count,), uniform."""
        latents = torch.randn(count, self._latent, device=self._device, generator=self._rng)
        return latents, torch.randint(self._classes, (count,), device=self._device, generator=self._rng)

"""A convolutional generator, trained under the objective."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dfkdbench.parts.generators.networks import build_network
from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.parts.options import ConvOptions
from dfkdbench.seams import Batch, Objective, Setting


class ConvGenerator:
    """`ConvNetwork` with its latents and its optimiser.

    Each step of `fit` draws a batch of latents, makes images in train mode and takes one optimiser step on
    the objective. Gradients that reach the student on the way are left for the student's `zero_grad`.

    Args:
        options: Network and optimiser.
        setting: Image shape, batch size, planned steps, random generators.

    Raises:
        PlanError: The image size is not divisible by the upsampling of the network.
    """

    def __init__(self, options: ConvOptions, setting: Setting) -> None:
        self.network = build_network(options, setting)
        self.optimizer = build_optimizer(options.optimizer, self.network.parameters(), setting.generator_steps)
        self._latent = options.latent
        self._batch_size = setting.batch_size
        self._device = setting.device
        self._rng = setting.rng("generator.latents")
        self._sampling_mode = True
        self._latents: Tensor | None = None

    def fit(self, objective: Objective, steps: int) -> None:
        """One optimiser step on a fresh batch of images, `steps` times."""
        self.network.train()
        for _ in range(steps):
            self._latents = self.draw_latents(self._batch_size)
            loss = objective(self.network(self._latents))
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            self.optimizer.step()

    @torch.no_grad()
    def sample(self, count: int) -> Batch:
        """Fresh images; in train mode they are normalised by the batch and move the running statistics."""
        self.network.train(self._sampling_mode)
        return Batch(self.network(self.draw_latents(count)))

    @torch.no_grad()
    def remake(self) -> Batch:
        """Images of the latents of the last fit step, in the mode of `sample`.

        Raises:
            ValueError: There was no fit step yet.
        """
        if self._latents is None:
            raise ValueError("there are no images to make anew before the first fit step")
        self.network.train(self._sampling_mode)
        return Batch(self.network(self._latents))

    def train(self, mode: bool = True) -> None:
        """Sets the mode of `sample`."""
        self._sampling_mode = mode

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser and the state of the latents' random generator."""
        return {
            "network": dict(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "rng": self._rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave, in place."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._rng.set_state(state["rng"])

    def draw_latents(self, count: int) -> Tensor:
        """Fresh latents (count, Z) from N(0, I)."""
        return torch.randn(count, self._latent, device=self._device, generator=self._rng)

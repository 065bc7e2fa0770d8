"""Control: a convolutional generator that is never trained."""

from __future__ import annotations

from typing import Any

import torch

from dfkdbench.parts.generators.networks import build_network
from dfkdbench.parts.options import ConvNetworkOptions
from dfkdbench.seams import Batch, Objective, Setting


class FrozenGenerator:
    """A randomly initialised `ConvNetwork`: what its structure alone is worth.

    It always normalises by the batch, whatever mode is asked for: its running statistics would be those of
    no data at all, and its images would not be standardised as the teacher's inputs are.

    Args:
        options: The network.
        setting: Image shape and random generators.

    Raises:
        PlanError: The image size is not divisible by the upsampling of the network.
    """

    def __init__(self, options: ConvNetworkOptions, setting: Setting) -> None:
        self.network = build_network(options, setting).requires_grad_(False)
        self._latent = options.latent
        self._device = setting.device
        self._rng = setting.rng("generator.latents")

    def fit(self, objective: Objective, steps: int) -> None:
        """Does nothing."""

    @torch.no_grad()
    def sample(self, count: int) -> Batch:
        """Fresh images (count, C, H, W), normalised by the batch."""
        latents = torch.randn(count, self._latent, device=self._device, generator=self._rng)
        return Batch(self.network(latents))

    def train(self, mode: bool = True) -> None:
        """Does nothing: see the class."""

    def state_dict(self) -> dict[str, Any]:
        """Network and the state of the latents' random generator."""
        return {"network": dict(self.network.state_dict()), "rng": self._rng.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave, in place."""
        self.network.load_state_dict(state["network"])
        self._rng.set_state(state["rng"])

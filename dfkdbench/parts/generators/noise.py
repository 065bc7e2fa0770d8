"""Control: normal noise."""

from __future__ import annotations

from typing import Any

import torch

from dfkdbench.recipe import Options
from dfkdbench.seams import Batch, Objective, Setting


class NoiseGenerator:
    """Pixels from N(0, 1) in the teacher's normalised input space: the "normal noise" row of the DAFL paper.

    Args:
        options: None.
        setting: Image shape and random generators.
    """

    def __init__(self, options: Options, setting: Setting) -> None:
        self._shape = setting.image_shape
        self._device = setting.device
        self._rng = setting.rng("generator.latents")

    def fit(self, objective: Objective, steps: int) -> None:
        """Does nothing."""

    def sample(self, count: int) -> Batch:
        """Fresh noise (count, C, H, W)."""
        return Batch(torch.randn(count, *self._shape, device=self._device, generator=self._rng))

    def train(self, mode: bool = True) -> None:
        """Does nothing: noise has no modes."""

    def state_dict(self) -> dict[str, Any]:
        """The state of the random generator."""
        return {"rng": self._rng.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._rng.set_state(state["rng"])

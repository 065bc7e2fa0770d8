"""Class impressions: pixels optimised to soft targets."""

from __future__ import annotations

import torch
from torch import Tensor

from dfkdbench.parts.generators.pixels import PixelsGenerator
from dfkdbench.rng import derive_seed, seeded_initialisation
from dfkdbench.seams import Setting
from dfkdbench_zskd.affine import random_affine
from dfkdbench_zskd.options import ImpressionsOptions
from dfkdbench_zskd.similarity import BETAS, concentrations


class ImpressionsGenerator(PixelsGenerator):
    """`pixels` whose labels are soft targets (B, K), drawn from Dirichlet distributions of class similarity.

    ZSKD (Nayak et al., ICML 2019). Image after image takes the next class; whoever has taken all classes goes on with
    the other scale. Deviations from the official code: a batch holds all classes, not one; every batch starts from
    noise with a fresh optimiser; pixels are brought back into their range after the last step as well.

    Args:
        options: Those of `pixels`; scales and floor of the concentrations.
        setting: Must carry the weights of the teacher's last layer.

    Raises:
        ValueError: The setting carries no weights of the last layer.
    """

    def __init__(self, options: ImpressionsOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        if setting.final_layer is None:
            raise ValueError("class impressions need the weights of the teacher's last layer; the setting has none")
        alphas = concentrations(setting.final_layer, options.beta_effective, options.floor)
        self._concentrations = alphas.cpu()
        self._device_of_labels = setting.device
        self._target_seed = setting.rng("generator.targets").initial_seed()
        self._affine = options.affine

    def draw_labels(self, first: int, count: int) -> Tensor:
        """Soft targets (count, K) that sum to 1.

        They are drawn on the CPU from a seed that depends on `first` alone, so that no device is read and every device
        sees the same ones.
        """
        index = first + torch.arange(count)
        classes = self._concentrations.shape[1]
        chosen = self._concentrations[index // classes % len(BETAS), index % classes]
        with seeded_initialisation(derive_seed(self._target_seed, first)):
            targets: Tensor = torch.distributions.Dirichlet(chosen, validate_args=False).sample()
        return targets.float().to(self._device_of_labels)

    def augment(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """What the student gets to see; where `affine` is on, black is what comes in from outside."""
        if self._affine:
            images = random_affine(images - self.black, rng) + self.black
        return super().augment(images, rng)

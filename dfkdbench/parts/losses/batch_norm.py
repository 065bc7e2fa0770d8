"""Distance between the statistics of the images and those that the teacher's batch norms keep."""

from __future__ import annotations

import torch
from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.parts.options import BatchNormOptions
from dfkdbench.seams import BatchStatistics, Setting, Stateless, View


class BatchNormLoss(Stateless):
    """sum_l w_l (|var_l - running_var_l| + |mean_l - running_mean_l|), norms over channels, not squared.

    R_feat of DeepInversion (Yin et al., CVPR 2020); the batch variance is the biased one. With several teachers
    the mean over them. Deviation: each norm |d| is sqrt(d.d + eps^2) - eps, which has a gradient at 0.

    Args:
        options: Weight of the first layer (10 in the official ImageNet code); eps.
    """

    def __init__(self, options: BatchNormOptions, setting: Setting) -> None:
        self._first_layer_weight = options.first_layer_weight
        self._eps = options.eps

    def __call__(self, view: View) -> Tensor:
        """The sum over layers, at least 0.

        Raises:
            PlanError: A teacher has no batch norm.
        """
        return torch.stack([self._distance(teacher.batch_norm) for teacher in view.teachers]).mean()

    def _distance(self, layers: tuple[BatchStatistics, ...]) -> Tensor:
        if not layers:
            raise PlanError(
                "The loss batch_norm needs a teacher with batch norm, and this one has none. Leave the loss out or "
                "choose another teacher; list them with: dfkdbench list models"
            )
        distances = torch.stack(
            [
                self._norm(layer.variance - layer.running_variance) + self._norm(layer.mean - layer.running_mean)
                for layer in layers
            ]
        )
        return distances.sum() + (self._first_layer_weight - 1.0) * distances[0]

    def _norm(self, difference: Tensor) -> Tensor:
        return (difference.square().sum() + self._eps**2).sqrt() - self._eps

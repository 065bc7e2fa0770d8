"""Divergence between Gaussians: the statistics of the images and those that the teacher's batch norms keep."""

from __future__ import annotations

import torch
from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.seams import BatchStatistics, Setting, Stateless, View
from dfkdbench_dfq.options import GaussianBatchNormOptions


class GaussianBatchNormLoss(Stateless):
    """Sum over layers and channels of KL(N(m, v) || N(m', v')), m and v of the images, m' and v' the running ones.

    With r = v / v' a channel gives ((m - m')^2 / v' + r - ln r - 1) / 2: DFQ (Choi et al., CVPR Workshops 2020), with
    v the biased variance over (B, H, W) of the layer's input. Grows with the number of channels; the mean over several
    teachers. Deviation: eps is added to both variances.

    Args:
        options: eps.
    """

    def __init__(self, options: GaussianBatchNormOptions, setting: Setting) -> None:
        self._eps = options.eps

    def __call__(self, view: View) -> Tensor:
        """The sum in nats, at least 0.

        Raises:
            PlanError: A teacher has no batch norm.
        """
        return torch.stack([self._divergence(teacher.batch_norm) for teacher in view.teachers]).mean()

    def _divergence(self, layers: tuple[BatchStatistics, ...]) -> Tensor:
        if not layers:
            raise PlanError(
                "The loss gaussian_batch_norm needs a teacher with batch norm, and this one has none. Leave the loss "
                "out (--loss gaussian_batch_norm=0) or choose another teacher; list them with: dfkdbench list models"
            )
        return torch.stack([self._of_layer(layer) for layer in layers]).sum()

    def _of_layer(self, layer: BatchStatistics) -> Tensor:
        stored = layer.running_variance + self._eps
        ratio = (layer.variance + self._eps) / stored
        distance = (layer.mean - layer.running_mean).square() / stored
        return 0.5 * (distance + ratio - ratio.log() - 1.0).sum()

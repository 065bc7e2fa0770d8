"""Size of images."""

from __future__ import annotations

import torch
from torch import Tensor

from dfkdbench.parts.options import L2NormOptions
from dfkdbench.seams import Setting, Stateless, View


class L2NormLoss(Stateless):
    """Euclidean norm of the images, not squared.

    R_l2 of DeepInversion (Yin et al., CVPR 2020). Its official CIFAR code takes one norm over the whole batch, which
    grows like sqrt(B); its ImageNet code the mean over the norms of the images.

    Args:
        options: Over the batch or over each image.
    """

    def __init__(self, options: L2NormOptions, setting: Setting) -> None:
        self._first_dim = 1 if options.over == "image" else 0

    def __call__(self, view: View) -> Tensor:
        """The norm, at least 0."""
        norms: Tensor = torch.linalg.vector_norm(view.images.flatten(self._first_dim), dim=-1)
        return norms.mean()

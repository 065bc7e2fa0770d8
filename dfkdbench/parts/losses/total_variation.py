"""Smoothness of images."""

from __future__ import annotations

import torch
from torch import Tensor

from dfkdbench.parts.options import TotalVariationOptions
from dfkdbench.seams import Setting, Stateless, View


class TotalVariationLoss(Stateless):
    """Sum over four directions (across, down, both diagonals) of the norm of the differences of neighbouring pixels.

    R_TV of DeepInversion (Yin et al., CVPR 2020), after its official code: `l2` is one norm per direction over the
    whole batch, not squared, so it grows like sqrt(B H W) and its weight belongs to a batch size; `l1` is the mean
    magnitude. 0 for constant images, where the gradient is 0 as well.

    Args:
        options: Norm.
    """

    def __init__(self, options: TotalVariationOptions, setting: Setting) -> None:
        self._mean_magnitude = options.norm == "l1"

    def __call__(self, view: View) -> Tensor:
        """The sum over directions, at least 0."""
        x = view.images
        directions = (
            x[..., 1:] - x[..., :-1],
            x[..., 1:, :] - x[..., :-1, :],
            x[..., 1:, 1:] - x[..., :-1, :-1],
            x[..., 1:, :-1] - x[..., :-1, 1:],
        )
        return torch.stack([self._size(difference) for difference in directions]).sum()

    def _size(self, difference: Tensor) -> Tensor:
        size: Tensor = difference.abs().mean() if self._mean_magnitude else torch.linalg.vector_norm(difference)
        return size

"""How far apart two sets of features are, taken as Gaussians."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Gaussian(NamedTuple):
    """Mean (D,) and covariance (D, D), in float64."""

    mean: Tensor
    covariance: Tensor


class GaussianFit:
    """Mean and covariance of features that come batch by batch; nothing grows with their number.

    Batches are joined by their means and sums of squares around them (Chan, Golub and LeVeque, 1979), which loses no
    digits where the mean is far from zero.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | None = None
        self._scatter: Tensor | None = None

    def add(self, features: Tensor) -> None:
        """Takes in features (N, D), N of at least 1."""
        values = features.double()
        count, mean = len(values), values.mean(0)
        centred = values - mean
        scatter = centred.T @ centred
        if self._mean is None or self._scatter is None:
            self._count, self._mean, self._scatter = count, mean, scatter
            return
        together, shift = self._count + count, mean - self._mean
        self._scatter += scatter + torch.outer(shift, shift) * (self._count * count / together)
        self._mean = self._mean + shift * (count / together)
        self._count = together

    def gaussian(self) -> Gaussian:
        """Mean and covariance (over N - 1).

        Raises:
            ValueError: Fewer than two images were taken in.
        """
        if self._mean is None or self._scatter is None or self._count < 2:
            raise ValueError(f"a covariance takes two images or more, not {self._count}")
        return Gaussian(self._mean, self._scatter / (self._count - 1))


def fit_gaussian(features: Tensor) -> Gaussian:
    """Mean and covariance (over N - 1) of features (N, D), N of at least 2."""
    fit = GaussianFit()
    fit.add(features)
    return fit.gaussian()


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """The squared Fréchet distance of two Gaussians (Dowson and Landau, J. Multivariate Anal. 12, 1982).

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)), which is 0 for equal ones and never below. With C = R R^T the
    last trace is the sum of the singular values of R1^T R2, whatever roots are taken. So there is no root of a product
    of matrices, which is not symmetric and loses digits, and nothing is inverted: covariances of fewer images than
    features, which have no full rank, are as good as others.
    """
    shift = (first.mean - second.mean).square().sum()
    overlap = torch.linalg.svdvals(_root(first.covariance).T @ _root(second.covariance)).sum()
    return max(0.0, float(shift + first.covariance.trace() + second.covariance.trace() - 2 * overlap))


def _root(covariance: Tensor) -> Tensor:
    """R (D, D) with R R^T = covariance. Eigenvalues that are zero but for rounding are zero."""
    values, vectors = torch.linalg.eigh(covariance)
    rounding = torch.finfo(values.dtype).eps * len(values) * values.abs().max()
    root: Tensor = vectors * values.where(values > rounding, 0.0).sqrt()
    return root

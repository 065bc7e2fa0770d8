"""How far apart two sets of features are, taken as Gaussians."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Gaussian(NamedTuple):
    """Mean (D,) and covariance (D, D), in float64."""

    mean: Tensor
    covariance: Tensor


def fit_gaussian(features: Tensor) -> Gaussian:
    """Mean and covariance (over N - 1) of features (N, D), N of at least 2."""
    values = features.double()
    mean = values.mean(0)
    centred = values - mean
    return Gaussian(mean, centred.T @ centred / (len(values) - 1))


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

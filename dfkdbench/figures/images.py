"""How even and how varied images are, by a teacher's decisions and features."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def class_balance(decisions: Tensor, classes: int) -> float:
    """How evenly images are spread over classes: 1 for all alike, 0 where all are of one class.

    The entropy of the shares p_c of the classes over the largest there can be: -sum(p_c ln p_c) / ln min(K, N).

    Args:
        decisions: Classes (N,) in 0..K - 1, N of at least 2.
        classes: K, at least 2.
    """
    shares = torch.bincount(decisions, minlength=classes).double() / len(decisions)
    entropy = float(torch.special.entr(shares).sum())
    return entropy / math.log(min(classes, len(decisions)))


class SpreadFit:
    """`class_spread` of features that come batch by batch; nothing grows with their number.

    Args:
        classes: K.
    """

    def __init__(self, classes: int) -> None:
        self._counts = torch.zeros(classes, dtype=torch.float64)
        self._squares = torch.zeros(classes, dtype=torch.float64)
        self._means: Tensor | None = None

    def add(self, features: Tensor, decisions: Tensor) -> None:
        """Takes in features (N, D) and classes (N,) in 0..K - 1."""
        values, classes = features.double(), len(self._counts)
        counts = torch.bincount(decisions, minlength=classes).double()
        sums = torch.zeros(classes, values.shape[1], dtype=torch.float64).index_add_(0, decisions, values)
        means = sums / counts.clamp(min=1).unsqueeze(1)
        centred = values - means[decisions]
        squares = torch.zeros(classes, dtype=torch.float64).index_add_(0, decisions, centred.square().sum(1))
        if self._means is None:
            self._counts, self._squares, self._means = counts, squares, means
            return
        together = (self._counts + counts).clamp(min=1)
        shift = means - self._means
        self._squares += squares + shift.square().sum(1) * (self._counts * counts / together)
        self._means += shift * (counts / together).unsqueeze(1)
        self._counts += counts

    def spread(self) -> Tensor:
        """Root mean squared distance of the pairs of a class's features, (K,); NaN for fewer than two images."""
        return (2 * self._squares / (self._counts - 1)).where(self._counts > 1, torch.nan).sqrt()


def class_spread(features: Tensor, decisions: Tensor, classes: int) -> Tensor:
    """Root mean squared distance of the pairs of a class's features, (K,) float64; NaN for fewer than two images.

    Over all pairs i != j of a class the mean of |f_i - f_j|^2 is twice the trace of the class's covariance (over
    n - 1), so that no pair is looked at.

    Args:
        features: (N, D).
        decisions: Classes (N,) in 0..K - 1.
    """
    fit = SpreadFit(classes)
    fit.add(features, decisions)
    return fit.spread()


def diversity(features: Tensor, decisions: Tensor, reference: Tensor) -> float | None:
    """How far apart images of a class lie in feature space, as a multiple of how far apart those of a reference do.

    sum over c of n_c s_c / r_c / sum over c of n_c, with s_c and r_c the `class_spread` of images and reference and n_c
    the number of images, over classes for which both are there and r_c is not 0. So every image counts alike, the
    reference itself has 1, and copies of one image per class have 0. None where there is no such class.

    Args:
        features: (N, D).
        decisions: Classes (N,) in 0..K - 1.
        reference: `class_spread` of the reference, (K,).
    """
    spread = class_spread(features, decisions, len(reference))
    counts = torch.bincount(decisions, minlength=len(reference)).double()
    told = spread.isfinite() & (reference > 0)
    if not told.any():
        return None
    return float((counts * spread / reference)[told].sum() / counts[told].sum())

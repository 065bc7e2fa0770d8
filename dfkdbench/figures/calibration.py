"""Whether a network is right as often as it says."""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 15


def calibration_error(confidences: Tensor, hits: Tensor) -> float:
    """Expected calibration error in percent (Naeini et al., AAAI 2015; Guo et al., ICML 2017, section 2).

    100 * sum over bins b of |B_b| / N * |mean confidence in B_b - share of hits in B_b|, with 15 bins of equal width: b
    holds the images whose confidence is in ((b - 1) / 15, b / 15], the first also confidence 0. In float64.

    Args:
        confidences: Highest class probability of each image, (N,) in 0..1.
        hits: Whether that class is right, (N,).
    """
    confidences, correct = confidences.double(), hits.double()
    bins = (confidences * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
    surplus = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, confidences - correct)
    return 100 * float(surplus.abs().sum()) / len(confidences)

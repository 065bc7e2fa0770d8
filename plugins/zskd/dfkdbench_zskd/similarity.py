"""Which classes the teacher takes for similar, read off its last layer; soft targets that follow it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

BETAS = (1.0, 0.1)
"""Scales of the concentrations; each is for half of the images."""

_LEAST_RANGE = 1e-12


def class_similarity(weights: Tensor) -> Tensor:
    """Cosine similarities (K, K) of the rows of the last layer's weights (K, D), in float64.

    ZSKD (Nayak et al., ICML 2019), equation of the class similarity matrix. The bias plays no part.
    """
    rows = F.normalize(weights.double(), dim=1)
    return rows @ rows.T


def stretched(values: Tensor, dim: int | None = None) -> Tensor:
    """Values moved onto 0..1: over the whole tensor, or along a dimension. All equal values become 0."""
    low = values.min() if dim is None else values.amin(dim, keepdim=True)
    high = values.max() if dim is None else values.amax(dim, keepdim=True)
    return (values - low) / (high - low).clamp(min=_LEAST_RANGE)


def concentrations(weights: Tensor, beta_effective: Literal["intended", "official"], floor: float) -> Tensor:
    """Dirichlet concentrations (2, K, K): for each of the two scales, a row per class.

    `official` is what the official code does in effect: it stretches every row onto 0..1 once more, after the scale
    was multiplied in, which undoes the scale.

    Args:
        floor: Added to every concentration.
    """
    similarity = stretched(class_similarity(weights))
    scaled = torch.stack([beta * similarity for beta in BETAS])
    if beta_effective == "official":
        scaled = stretched(scaled, dim=2)
    return scaled + floor

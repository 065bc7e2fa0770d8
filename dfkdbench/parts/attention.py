"""Attention over the heads of a student, fitted on a few labelled real samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.parts.options import AttentionOptions


class HeadAttention(nn.Module):
    """sum_i a_i s_i with a = softmax over the heads i of (w . s_i + b): one linear layer K -> 1 that all heads share.

    The weights are each image's own. A permutation of the heads permutes them, zeros for w give the mean of the
    heads, and b has no effect: it is the same for all heads.

    Args:
        classes: K.
        rng: Source of the random start, uniform in +-1 / sqrt(K); None starts from zeros, which is the mean.
    """

    def __init__(self, classes: int, rng: torch.Generator | None = None) -> None:
        super().__init__()
        start = torch.zeros(classes + 1, dtype=torch.float64)
        if rng is not None:
            bound = classes**-0.5
            start.uniform_(-bound, bound, generator=rng)
        self.weight = nn.Parameter(start[:classes].clone())
        self.bias = nn.Parameter(start[classes:].clone())

    def attention(self, heads: Tensor) -> Tensor:
        """Weights (N, B) of the heads' logits (N, B, K), in float64; over the N heads they sum to 1."""
        return (heads.to(self.weight.dtype) @ self.weight + self.bias).softmax(0)

    def forward(self, heads: Tensor) -> Tensor:
        """Logits (B, K) of the heads' logits (N, B, K), in float64."""
        return torch.einsum("nbk,nb->bk", heads.to(self.weight.dtype), self.attention(heads))


def fit_attention(options: AttentionOptions, heads: Tensor, labels: Tensor, rng: torch.Generator) -> HeadAttention:
    """Fits the attention by cross-entropy of its logits for a fixed number of epochs; the last one counts.

    CDFKD's second figure (Hao et al., ICME 2021; its official code, which keeps the best epoch on the test set
    instead). The dossier of the method does not say how the layer starts and in which order the images come: both are
    options. The attention of CDFKD-MFS (IEEE TMM 2022) is not in its repository and may differ.

    Args:
        heads: Logits (N, M, K) of the frozen student's heads for M images, on the CPU.
        labels: Their classes (M,).
        rng: Of the CPU; start and order come from here.
    """
    count = len(labels)
    attention = HeadAttention(heads.shape[2], rng if options.start == "random" else None)
    steps = options.epochs * -(-count // options.batch_size)
    stepper = build_optimizer(options.optimizer, attention.parameters(), steps)
    heads = heads.double()
    for _ in range(options.epochs):
        order = torch.randperm(count, generator=rng) if options.order == "shuffled" else torch.arange(count)
        for start in range(0, count, options.batch_size):
            batch = order[start : start + options.batch_size]
            stepper.zero_grad()
            F.cross_entropy(attention(heads[:, batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
            stepper.step()
    return attention.requires_grad_(False)

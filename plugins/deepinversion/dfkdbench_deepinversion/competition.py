"""Reward for images on which student and teacher disagree."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.signals import student_of
from dfkdbench.seams import Setting, Stateless, View
from dfkdbench_deepinversion.options import CompetitionOptions

_LEAST = 0.01
"""The official code keeps every probability within [0.01, 0.99]."""


class CompetitionLoss(Stateless):
    """1 - JS(p_T, p_S), with JS = KL(p_T || M) / 2 + KL(p_S || M) / 2 and M = (p_T + p_S) / 2.

    R_c of Adaptive DeepInversion (Yin et al., CVPR 2020). In the form `paper` it lies in [1 - ln 2, 1] and never
    saturates. The form `code` is the official code's: 1 - clamp(KL(M || p_T) / 2 + KL(M || p_S) / 2, 0, 1), every
    probability clamped to [0.01, 0.99]. It is flat, without gradient, where the networks disagree most, and where all
    probabilities are below 0.01, as with a thousand classes.

    Args:
        options: Form; temperature, 3 in the code and not told in the paper.
    """

    def __init__(self, options: CompetitionOptions, setting: Setting) -> None:
        self._divergence = _divergence if options.form == "paper" else _clamped_divergence
        self._temperature = options.temperature

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, 1 where student and teacher agree."""
        teacher = F.log_softmax(view.teacher.logits / self._temperature, dim=1)
        student = F.log_softmax(student_of(view).logits / self._temperature, dim=1)
        return 1.0 - self._divergence(teacher, student)


def _divergence(first: Tensor, second: Tensor) -> Tensor:
    """Mean Jensen-Shannon divergence of log-probabilities (B, K), in nats."""
    middle = torch.logaddexp(first, second) - math.log(2)
    halves = first.exp() * (first - middle) + second.exp() * (second - middle)
    return 0.5 * halves.sum(dim=1).mean()


def _clamped_divergence(first: Tensor, second: Tensor) -> Tensor:
    p, q = first.exp(), second.exp()
    middle, p, q = (probability.clamp(_LEAST, 1 - _LEAST) for probability in (0.5 * (p + q), p, q))
    halves = middle * (2 * middle.log() - p.log() - q.log())
    return (0.5 * halves.sum(dim=1).mean()).clamp(0, 1)

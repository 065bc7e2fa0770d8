"""Divergence between teacher and student, for a generator that seeks it."""

from __future__ import annotations

from torch import Tensor

from dfkdbench.parts.losses.kl import kl_divergence
from dfkdbench.parts.options import AdversarialKLOptions
from dfkdbench.seams import Setting, Stateless, View


class AdversarialKLLoss(Stateless):
    """-KL(softmax(t / T) || softmax(s / T)), with gradient to the images through teacher and student.

    Generator's loss of ZSKT (Micaelli and Storkey, NeurIPS 2019; reduction `mean` in the official code) and
    adversarial term of DFQ (Choi et al., CVPR Workshops 2020; `batchmean`).

    Args:
        options: Temperature T and reduction.
    """

    def __init__(self, options: AdversarialKLOptions, setting: Setting) -> None:
        self._temperature = options.temperature
        self._reduction = options.reduction

    def __call__(self, view: View) -> Tensor:
        """The negative mean over the batch, at most 0."""
        return -kl_divergence(view, self._temperature, self._reduction)

"""Balance of the classes within a batch."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.options import ClassEntropyOptions
from dfkdbench.seams import Setting, Stateless, View


class ClassEntropyLoss(Stateless):
    """Negative entropy of the mean prediction: sum_k m_k log m_k with m the mean of softmax(t) over the batch.

    DAFL's information-entropy loss (Chen et al., ICCV 2019; base 10 in the official code) and RDSKD's class
    diversity (Han et al., ICASSP 2021; base e). Between -log K (balanced) and 0 (one class). Deviation from the
    official codes: m is clamped from below, since a class that underflows to 0 gives NaN gradients.

    Args:
        options: Base of the logarithm; smallest m_k.
    """

    def __init__(self, options: ClassEntropyOptions, setting: Setting) -> None:
        self._floor = options.floor
        self._unit = 1.0 if options.log_base == "e" else 1.0 / math.log(options.log_base)

    def __call__(self, view: View) -> Tensor:
        """The sum over classes, in units of the base."""
        mean = F.softmax(view.teacher.logits, dim=1).mean(dim=0).clamp(min=self._floor)
        return (mean * mean.log()).sum() * self._unit

"""Kullback-Leibler divergence of the student from the teacher."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.options import KLOptions
from dfkdbench.parts.signals import student_of
from dfkdbench.seams import Setting, Stateless, View


class KLLoss(Stateless):
    """T^2 / B sum_i KL(softmax(t_i / T) || softmax(s_i / T)), as in Hinton et al. (2015).

    Invariant to a constant added to all logits of an image; independent of the batch size.

    Args:
        options: Temperature T, and whether the factor T^2 is there.
    """

    def __init__(self, options: KLOptions, setting: Setting) -> None:
        self._temperature = options.temperature
        self._factor = options.temperature**2 if options.temperature_squared else 1.0

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, at least 0."""
        student = F.log_softmax(student_of(view).logits / self._temperature, dim=1)
        teacher = F.log_softmax(view.teacher.logits / self._temperature, dim=1)
        return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * self._factor

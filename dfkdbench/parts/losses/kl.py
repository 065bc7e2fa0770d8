"""Kullback-Leibler divergence of the student from the teacher."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.options import KLOptions, KLReduction
from dfkdbench.parts.signals import student_of
from dfkdbench.seams import Setting, Stateless, View


def kl_divergence(view: View, temperature: float, reduction: KLReduction) -> Tensor:
    """KL(softmax(t / T) || softmax(s / T)) of a view, with gradient to teacher and student where they have one.

    `batchmean` is the mean over images; `mean` divides it by the number of classes K as well, as the default of
    the framework's function does.
    """
    student = F.log_softmax(student_of(view).logits / temperature, dim=1)
    teacher = F.log_softmax(view.teacher.logits / temperature, dim=1)
    divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return divergence / student.shape[1] if reduction == "mean" else divergence


class KLLoss(Stateless):
    """T^2 / B sum_i KL(softmax(t_i / T) || softmax(s_i / T)), as in Hinton et al. (2015).

    Invariant to a constant added to all logits of an image; independent of the batch size.

    Args:
        options: Temperature T, whether the factor T^2 is there, and the reduction.
    """

    def __init__(self, options: KLOptions, setting: Setting) -> None:
        self._temperature = options.temperature
        self._factor = options.temperature**2 if options.temperature_squared else 1.0
        self._reduction = options.reduction

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, at least 0."""
        return kl_divergence(view, self._temperature, self._reduction) * self._factor

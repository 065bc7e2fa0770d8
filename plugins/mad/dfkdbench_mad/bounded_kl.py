"""Divergence that a generator seeks up to a bound."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.signals import student_of
from dfkdbench.seams import Setting, Stateless, View
from dfkdbench_mad.options import BoundedKLOptions


class BoundedKLLoss(Stateless):
    """-mean_i min(KL(softmax(t_i / T) || softmax(s_i / T)), bound): images beyond the bound get no gradient.

    Reconstruction of the bounded adversarial loss that MAD's supplement speaks of (Do et al., NeurIPS 2022);
    its exact form and its bound are not known. Without a bound it is the loss of adversarial belief matching.

    Args:
        options: Temperature and bound.
    """

    def __init__(self, options: BoundedKLOptions, setting: Setting) -> None:
        self._temperature = options.temperature
        self._bound = options.bound

    def __call__(self, view: View) -> Tensor:
        """At most 0 and, with a bound, at least minus the bound."""
        student = F.log_softmax(student_of(view).logits / self._temperature, dim=1)
        teacher = F.log_softmax(view.teacher.logits / self._temperature, dim=1)
        divergence = F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)
        return -(divergence if self._bound is None else divergence.clamp(max=self._bound)).mean()

"""Distance between the logits of teacher and student, for a generator that seeks it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.options import AdversarialL1Options
from dfkdbench.parts.signals import student_of
from dfkdbench.seams import Setting, Stateless, View


class AdversarialL1Loss(Stateless):
    """-D or -ln(1 + D), with D the mean of |s - t| over batch and classes, on raw logits.

    DFAD (Fang et al., 2019): gradient to the images through teacher and student. The official code has the plain
    form in its classification scripts and the logarithm in those for segmentation. Unbounded below in the plain form.

    Args:
        options: Which form.
    """

    def __init__(self, options: AdversarialL1Options, setting: Setting) -> None:
        self._log = options.form == "log"

    def __call__(self, view: View) -> Tensor:
        """The negative distance, at most 0."""
        distance = F.l1_loss(student_of(view).logits, view.teacher.logits)
        return -distance.log1p() if self._log else -distance

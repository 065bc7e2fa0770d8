"""Cross-entropy of the student to the teacher's decisions."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.signals import student_of
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Stateless, View


class HardLabelsLoss(Stateless):
    """Mean of -log softmax(s)_y, with y the teacher's most likely class: all that a label-only teacher gives."""

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, at least 0."""
        return F.cross_entropy(student_of(view).logits, view.teacher.decisions())

"""Distance between the logits of student and teacher."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.signals import student_of
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Stateless, View


class L1Loss(Stateless):
    """Mean over batch and classes of |s - t|, on raw logits (DFAD, Fang et al., 2019).

    Unlike `kl` it sees a constant added to all logits.
    """

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, view: View) -> Tensor:
        """The mean, at least 0."""
        return F.l1_loss(student_of(view).logits, view.teacher.logits)

"""Disagreement of student and teacher in confidence where they agree in the decision."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.signals import student_of
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Stateless, View


class DecisionAdversarialLoss(Stateless):
    """-1/B sum_i [argmax s_i = argmax t_i] KL(softmax(t_i) || softmax(s_i)), at most 0.

    CMI (Fang et al., IJCAI 2021) and FastDFKD (Fang et al., AAAI 2022). Images on which the decisions differ count in
    the denominator only: nothing pushes them further away.
    """

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, in nats."""
        student, teacher = student_of(view).logits, view.teacher.logits
        agree = student.argmax(dim=1) == teacher.argmax(dim=1)
        divergence = F.kl_div(
            F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1), reduction="none", log_target=True
        ).sum(dim=1)
        return -(divergence * agree).mean()

"""Distances between the heads of the student and their teachers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dfkdbench.errors import PlanError
from dfkdbench.parts.losses.kl import KLLoss
from dfkdbench.parts.options import KLOptions
from dfkdbench.parts.signals import student_of
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Stateless, View
from dfkdbench_cdfkd_mfs.losses.pairing import paired_with_heads


class HeadsL1Loss(Stateless):
    """1/N sum_i mean |s_i - t_i| over batch and classes, on raw logits (CDFKD-MFS, Hao et al., 2022).

    With one head and one teacher it is DFAD's loss (Fang et al., 2019), `l1`.
    """

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, view: View) -> Tensor:
        """The mean over heads, at least 0."""
        pairs = paired_with_heads(view)
        return torch.stack([F.l1_loss(head.logits, teacher.logits) for head, teacher in pairs]).mean()


class HeadsKLLoss(Stateless):
    """1/N sum_i KL(softmax t_i || softmax s_i), mean over the batch (CDFKD, Hao et al., 2021).

    Args:
        options: Those of `kl`; the paper has T = 1.
    """

    def __init__(self, options: KLOptions, setting: Setting) -> None:
        self._divergence = KLLoss(options, setting)

    def __call__(self, view: View) -> Tensor:
        """The mean over heads, at least 0."""
        terms = [
            self._divergence(view._replace(teacher=teacher, student=head)) for head, teacher in paired_with_heads(view)
        ]
        return torch.stack(terms).mean()


class HeadFeaturesL1Loss(Stateless):
    """1/N sum_i 1/B sum_b sum_d |phi_i - f_i|: summed over the feature vector, not averaged (CDFKD-MFS).

    phi_i is the feature vector of head i, f_i that of teacher i. Being a sum over D entries it can outweigh `heads_l1`.
    """

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, view: View) -> Tensor:
        """The mean over heads and batch, at least 0.

        Raises:
            PlanError: Heads and teachers have feature vectors of different lengths: there is no projection.
        """
        teachers = [teacher.features for teacher in view.teachers if teacher.features is not None]
        student = student_of(view).features
        if student is None or len(teachers) < len(view.teachers):
            raise PlanError("The loss head_features_l1 needs the features of every teacher and of the student.")
        theirs = torch.cat(teachers, dim=1)
        if theirs.shape != student.shape:
            count = len(teachers)
            raise PlanError(
                f"The loss head_features_l1 compares feature vectors of one length; the student's {count} heads have "
                f"{student.shape[1] // count} entries each, the teachers {theirs.shape[1] // count}. "
                "Leave the loss out: --loss head_features_l1=0"
            )
        return (student - theirs).abs().sum() / (len(teachers) * len(theirs))

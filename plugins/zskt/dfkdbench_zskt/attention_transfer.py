"""Where the stages of teacher and student are active."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dfkdbench.errors import PlanError
from dfkdbench.parts.signals import student_of
from dfkdbench.seams import Setting, Stateless, View
from dfkdbench_zskt.options import AttentionTransferOptions


class AttentionTransferLoss(Stateless):
    """Sum over stages of the squared distance between the attention maps of teacher and student.

    The map of a stage's output A (B, C, H, W) is the mean over channels of A squared, flattened to H W entries and
    divided by its L2 norm: ZSKT (Micaelli and Storkey, NeurIPS 2019), after attention transfer (Zagoruyko and
    Komodakis, ICLR 2017). Invariant to the scale of A; at most 2 a stage with `sum`, 2 / (H W) with `mean`. A map that
    is 0 everywhere stays 0.

    Args:
        options: Mean (official code) or sum (paper) over positions.
    """

    def __init__(self, options: AttentionTransferOptions, setting: Setting) -> None:
        self._mean = options.reduction == "mean"

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, at least 0.

        Raises:
            PlanError: The stages of teacher and student are not there or don't correspond.
        """
        teacher, student = view.teacher.stages, student_of(view).stages
        _check_stages(teacher, student)
        return torch.stack([self._distance(t, s) for t, s in zip(teacher, student, strict=True)]).sum()

    def _distance(self, teacher: Tensor, student: Tensor) -> Tensor:
        difference = (attention_map(teacher) - attention_map(student)).square()
        return difference.mean() if self._mean else difference.sum(dim=1).mean()


def attention_map(activation: Tensor) -> Tensor:
    """Unit vectors (B, H W) of activations (B, C, H, W), in float32 at least."""
    activation = activation.to(torch.promote_types(activation.dtype, torch.float32))
    return F.normalize(_mean_over_channels(activation.square()).flatten(1), dim=1)


def _mean_over_channels(maps: Tensor) -> Tensor:
    """Mean (B, H, W) of maps (B, C, H, W), whose gradient is laid out as they are.

    That of a mean over the second dimension is not where channels lie innermost, and every layer behind it then works
    on two layouts. The values are the same to the bit.
    """
    if maps.is_contiguous(memory_format=torch.channels_last):
        return maps.movedim(1, 3).mean(dim=3)
    return maps.mean(dim=1)


def _check_stages(teacher: tuple[Tensor, ...], student: tuple[Tensor, ...]) -> None:
    """Refuses stages that have no partner of the same height and width.

    Raises:
        PlanError: With the sizes of both.
    """
    if not teacher:
        raise PlanError(
            "The loss attention_transfer needs the teachers' stages, and the target has none: several teachers' stages "
            "have different shapes. Choose the aggregator 'first' or leave the loss out (--loss attention_transfer=0)."
        )
    if [stage.shape[2:] for stage in teacher] != [stage.shape[2:] for stage in student]:
        raise PlanError(
            "The loss attention_transfer compares stages of equal height and width; the teacher's have "
            f"{_sizes(teacher)}, the student's {_sizes(student)}. Choose a --pair of one family (dfkdbench list "
            "models) or leave the loss out (--loss attention_transfer=0)."
        )


def _sizes(stages: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{stage.shape[2]}x{stage.shape[3]}" for stage in stages) or "none"

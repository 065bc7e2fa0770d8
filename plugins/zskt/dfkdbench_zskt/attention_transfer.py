"""Where the stages of teacher and student are active."""

from __future__ import annotations

from typing import Any

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
        self._told: tuple[tuple[Tensor, ...], tuple[Tensor, ...]] = ((), ())

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, at least 0.

        Raises:
            PlanError: The stages of teacher and student are not there or don't correspond.
        """
        teacher, student = view.teacher.stages, student_of(view).stages
        _check_stages(teacher, student)
        targets = self._maps_of_teacher(teacher)
        return torch.stack([self._distance(t, attention_map(s)) for t, s in zip(targets, student, strict=True)]).sum()

    def _maps_of_teacher(self, stages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Maps of the teacher's stages; for the very same stages again, as steps of a round have, the last ones."""
        if stages is not self._told[0]:
            self._told = (stages, tuple(attention_map(stage) for stage in stages))
        return self._told[1]

    def _distance(self, target: Tensor, said: Tensor) -> Tensor:
        difference = (target - said).square()
        return difference.mean() if self._mean else difference.sum(dim=1).mean()


def attention_map(activation: Tensor) -> Tensor:
    """Unit vectors (B, H W) of activations (B, C, H, W), in float32 at least."""
    squares: Tensor = _MeanSquare.apply(activation)
    return F.normalize(squares.flatten(1), dim=1)


class _MeanSquare(torch.autograd.Function):
    """Mean over channels (B, H, W) of squared activations (B, C, H, W), in float32 at least.

    The gradient is one product, laid out as the activations are: behind `square` and `mean` it would be three, in
    another layout where channels lie innermost. The values are the same to the bit.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(activation: Tensor) -> Tensor:
        wide = activation.to(torch.promote_types(activation.dtype, torch.float32))
        return wide.square().mean(dim=1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        activation: Tensor = ctx.saved_tensors[0]
        scaled = (gradient / activation.shape[1] * 2).unsqueeze(1)
        return (activation * scaled).to(activation.dtype)


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

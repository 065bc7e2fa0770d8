"""Strength of the teacher's features."""

from __future__ import annotations

from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Stateless, View


class ActivationLoss(Stateless):
    """-mean |f| over batch and feature dimensions, f the input of the last linear part of the teacher.

    DAFL (Chen et al., ICCV 2019). At most 0, unbounded below, linear in the scale of the features.
    """

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, view: View) -> Tensor:
        """The mean.

        Raises:
            PlanError: The target has no features.
        """
        if view.teacher.features is None:
            raise PlanError(
                "The loss activation needs the teachers' features, and the target has none: the teacher gives none, or "
                "several teachers' features have different shapes. Choose another teacher or the aggregator 'first'."
            )
        return -view.teacher.features.abs().mean()

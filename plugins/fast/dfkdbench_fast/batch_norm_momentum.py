"""Distance of the statistics of all images so far, not of one batch alone, from the teacher's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.learning import LearningLoss
from dfkdbench.seams import BatchStatistics, Setting, View
from dfkdbench_fast.options import BatchNormMomentumOptions

Moments = tuple[Tensor, Tensor]
"""Mean and variance per channel."""


class BatchNormMomentumLoss(LearningLoss):
    """sum_l |var_l - ((1 - m) v_l + m V_l)| + |mean_l - ((1 - m) u_l + m U_l)|, norms over channels, not squared.

    FastDFKD (Fang et al., AAAI 2022): mean and var are the teacher's running statistics, u and v (biased) those of the
    batch, U and V moving averages over earlier batches. They are set to the batch's statistics by the last step of
    the first call of `generator.fit` and moved, with the same m, by the last step of every later one; the first
    call takes m = 0. Gradients flow through the batch's share alone, so they are 1 - m times those of `batch_norm`.
    With several teachers the mean over them. Deviation: each norm |d| is sqrt(d.d + eps^2) - eps, as in `batch_norm`.

    Args:
        options: Momentum m; eps.
    """

    def __init__(self, options: BatchNormMomentumOptions, setting: Setting) -> None:
        self._momentum = options.momentum
        self._eps = options.eps
        self._device = setting.device
        self._moving: list[list[Moments]] | None = None
        self._seen: list[list[Moments]] | None = None

    def __call__(self, view: View) -> Tensor:
        """The sum over layers, at least 0.

        Raises:
            PlanError: A teacher has no batch norm.
        """
        networks = [teacher.batch_norm for teacher in view.teachers]
        if not all(networks):
            raise PlanError(
                "The loss batch_norm_momentum needs a teacher with batch norm, and this one has none. Leave the loss "
                "out or choose another teacher; list them with: dfkdbench list models"
            )
        self._seen = [[(layer.mean.detach(), layer.variance.detach()) for layer in layers] for layers in networks]
        moving = self._seen if self._moving is None else self._moving
        momentum = 0.0 if self._moving is None else self._momentum
        distances = [
            self._distance(layer, before, momentum)
            for layers, befores in zip(networks, moving, strict=True)
            for layer, before in zip(layers, befores, strict=True)
        ]
        return torch.stack(distances).sum() / len(networks)

    @torch.no_grad()
    def settle(self) -> None:
        """Moves the averages by the statistics of the last step."""
        if self._seen is None:
            return
        if self._moving is None:
            self._moving = self._seen
        else:
            self._moving = [
                [self._mixed(before, now) for before, now in zip(befores, nows, strict=True)]
                for befores, nows in zip(self._moving, self._seen, strict=True)
            ]
        self._seen = None

    def state_dict(self) -> dict[str, Any]:
        """The moving averages, or None before the end of the first call."""
        if self._moving is None:
            return {"moving": None}
        return {"moving": [[list(moments) for moments in layers] for layers in self._moving]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        saved = state["moving"]
        self._moving = saved and [
            [(mean.to(self._device), variance.to(self._device)) for mean, variance in layers] for layers in saved
        ]
        self._seen = None

    def _distance(self, layer: BatchStatistics, before: Moments, momentum: float) -> Tensor:
        mean = (1 - momentum) * layer.mean + momentum * before[0]
        variance = (1 - momentum) * layer.variance + momentum * before[1]
        return self._norm(variance - layer.running_variance) + self._norm(mean - layer.running_mean)

    def _mixed(self, before: Moments, now: Moments) -> Moments:
        share = 1 - self._momentum
        return (
            self._momentum * before[0] + share * now[0],
            self._momentum * before[1] + share * now[1],
        )

    def _norm(self, difference: Tensor) -> Tensor:
        return (difference.square().sum() + self._eps**2).sqrt() - self._eps

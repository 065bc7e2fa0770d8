"""Built-in aggregators of several teachers' signals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Signal, Stateless


class FirstAggregator(Stateless):
    """The first teacher's signal."""

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, signals: Sequence[Signal]) -> Signal:
        """The first signal as it is."""
        return signals[0]


class MeanAggregator(Stateless):
    """The mean of the teachers' logits, as in CDFKD's ensemble.

    Features, all stages together and all batch-norm means together are averaged where the teachers give the same
    shapes and left out elsewhere.
    Batch-norm statistics belong to one network: with several teachers the target has none (see `View.teachers`).
    """

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, signals: Sequence[Signal]) -> Signal:
        """The mean signal; with one teacher that teacher's own."""
        if len(signals) == 1:
            return signals[0]
        logits = torch.stack([signal.logits for signal in signals]).mean(0)
        return Signal(
            logits,
            _mean_if_alike([signal.features for signal in signals]),
            _mean_each([signal.stages for signal in signals]),
            batch_norm_means=_mean_each([signal.batch_norm_means for signal in signals]),
        )


def _mean_each(groups: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
    if len({len(group) for group in groups}) > 1:
        return ()
    means = [_mean_if_alike(members) for members in zip(*groups, strict=True)]
    present = tuple(mean for mean in means if mean is not None)
    return present if len(present) == len(means) else ()


def _mean_if_alike(tensors: Sequence[Tensor | None]) -> Tensor | None:
    """The mean of tensors of one shape, or None where one is missing or of another shape."""
    present = [tensor for tensor in tensors if tensor is not None]
    if len(present) < len(tensors) or len({tensor.shape for tensor in present}) > 1:
        return None
    return torch.stack(present).mean(0)

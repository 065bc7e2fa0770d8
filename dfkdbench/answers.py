"""What the teachers say about a batch: together, and each for itself."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dfkdbench.seams import Signal


class Answer(NamedTuple):
    """The teachers' signals about one batch.

    Attributes:
        target: The aggregated signal.
        teachers: Each teacher's own, in order.
    """

    target: Signal
    teachers: tuple[Signal, ...]

    def detach(self) -> Answer:
        """The same values outside every graph."""
        return Answer(self.target.detach(), tuple(signal.detach() for signal in self.teachers))

    def followed_by(self, other: Answer) -> Answer:
        """The answer about both batches, one behind the other."""
        pairs = zip(self.teachers, other.teachers, strict=True)
        return Answer(_join_signals(self.target, other.target), tuple(_join_signals(*pair) for pair in pairs))

    def split(self, count: int) -> tuple[Answer, Answer]:
        """The answers about the first `count` images and about the others, as views of this one."""
        first, others = slice(None, count), slice(count, None)
        return self._about(first), self._about(others)

    def _about(self, images: slice) -> Answer:
        return Answer(_slice_signal(self.target, images), tuple(_slice_signal(one, images) for one in self.teachers))


def _slice_signal(signal: Signal, images: slice) -> Signal:
    """The signal of some images of a batch. Batch-norm statistics belong to the whole batch and are left out."""
    return Signal(
        logits=signal.logits[images],
        features=None if signal.features is None else signal.features[images],
        stages=tuple(stage[images] for stage in signal.stages),
        heads=tuple(head[images] for head in signal.heads),
        batch_norm_means=tuple(means[images] for means in signal.batch_norm_means),
    )


def _join_signals(first: Signal, second: Signal) -> Signal:
    """The signal of two batches one behind the other: what both have. Batch-norm statistics belong to one batch."""
    features = None
    if first.features is not None and second.features is not None:
        features = torch.cat([first.features, second.features])
    stages: tuple[Tensor, ...] = ()
    if len(first.stages) == len(second.stages):
        stages = tuple(torch.cat(pair) for pair in zip(first.stages, second.stages, strict=True))
    return Signal(torch.cat([first.logits, second.logits]), features, stages)

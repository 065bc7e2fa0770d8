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


def _join_signals(first: Signal, second: Signal) -> Signal:
    """The signal of two batches one behind the other: what both have. Batch-norm statistics belong to one batch."""
    features = None
    if first.features is not None and second.features is not None:
        features = torch.cat([first.features, second.features])
    stages: tuple[Tensor, ...] = ()
    if len(first.stages) == len(second.stages):
        stages = tuple(torch.cat(pair) for pair in zip(first.stages, second.stages, strict=True))
    return Signal(torch.cat([first.logits, second.logits]), features, stages)

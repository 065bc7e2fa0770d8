"""What the teachers say about a batch: together, and each for itself."""

from __future__ import annotations

from typing import NamedTuple

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
        return Answer(self.target.followed_by(other.target), tuple(one.followed_by(more) for one, more in pairs))

    def split(self, count: int) -> tuple[Answer, Answer]:
        """The answers about the first `count` images and about the others, as views of this one."""
        first, others = slice(None, count), slice(count, None)
        return self._about(first), self._about(others)

    def _about(self, images: slice) -> Answer:
        return Answer(self.target.about(images), tuple(one.about(images) for one in self.teachers))

"""Losses on images that learn from what they see, such as a trained head or a moving average."""

from __future__ import annotations

from torch import Tensor


class LearningLoss:
    """Base of image losses that train parameters or fill a memory of their own.

    Within one call of `generator.fit` the loop calls, for every step, the loss itself and then `judge`; after the call
    `settle`. The objective's backward pass, which the generator makes, reaches the loss's parameters as well, so a
    loss steps its own optimiser when it is next called and in `settle`: no gradient outlives a round, and a
    checkpoint between rounds holds all. A generator that asks for gradients of its own parameters alone leaves such a
    loss untrained.
    """

    def judge(self, total: Tensor) -> None:
        """Told the combined objective of the images just seen, detached, before its backward pass."""

    def settle(self) -> None:
        """Told that the generator has taken all steps of the call."""

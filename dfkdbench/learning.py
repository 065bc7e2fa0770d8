"""Bases of losses with state: parameters, buffers, or what they learn from the images that they see."""

from __future__ import annotations

from torch import Tensor, nn

from dfkdbench.seams import View


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


class ModuleLoss(nn.Module):
    """Base of losses that own parameters or buffers; both are saved with checkpoints."""

    def forward(self, view: View) -> Tensor:
        """A scalar to minimise."""
        raise TypeError(f"{type(self).__name__} defines no forward")

"""Gradient checkpointing: activations are computed again in the backward pass instead of being held for it.

Chen, Xu, Zhang and Guestrin, Training Deep Nets with Sublinear Memory Cost, 2016. What is computed again is what was
computed: random state, buffers (batch statistics are moved once), modes and which weights have a gradient are those of
the first pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dfkdbench.errors import PlanError
from dfkdbench.models.layers import Segmented
from dfkdbench.seams import Taps


def recompute_in_backward(network: nn.Module) -> None:
    """Makes a network hold, where there is a graph, only what goes into its segments.

    Those are what its `Segmented` modules name; a network without any is one segment. Names of its tensors stay.
    """
    segmented: list[nn.Module] = [module for module in network.modules() if isinstance(module, Segmented)]
    for module in segmented or [network]:
        for name in module.segments if isinstance(module, Segmented) else ("forward",):
            setattr(module, name, partial(_pass, module, getattr(module, name)))


def _pass(module: nn.Module, call: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """One pass through a segment.

    Raises:
        PlanError: In the backward pass, where weights are not those of the pass any more.
    """
    inputs = [argument for argument in arguments if isinstance(argument, Tensor)]
    learns = any(tensor.requires_grad for tensor in (*inputs, *module.parameters()))
    if not (torch.is_grad_enabled() and learns):
        return call(*arguments)
    held, passes = _Held(module), 0

    def run(*given: Any) -> Tensor:
        nonlocal passes
        passes += 1
        if passes == 1:
            return call(*given)
        apart = (Taps(argument.wants) if isinstance(argument, Taps) else argument for argument in given)
        with held.again():
            return call(*apart)

    return checkpoint(run, *arguments, use_reentrant=False)


class _Held:
    """What a pass through a module depends on beside its inputs, as it is now."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._modes = [(part, part.training) for part in module.modules()]
        self._weights = [(weight, weight.requires_grad) for weight in module.parameters()]
        self._versions = [weight._version for weight, _ in self._weights]
        self._buffers = [
            (part, name, buffer.clone())
            for part in module.modules()
            if part.training
            for name, buffer in part.named_buffers(recurse=False)
        ]

    @contextmanager
    def again(self) -> Iterator[None]:
        """The same inside the block; what the block does to buffers is forgotten."""
        self._refuse_other_weights()
        modes = [part.training for part, _ in self._modes]
        gradients = [weight.requires_grad for weight, _ in self._weights]
        buffers = [getattr(part, name) for part, name, _ in self._buffers]
        try:
            for part, training in self._modes:
                part.training = training
            for weight, requires_grad in self._weights:
                weight.requires_grad = requires_grad
            for part, name, before in self._buffers:
                setattr(part, name, before.clone())
            yield
        finally:
            for (part, name, _), buffer in zip(self._buffers, buffers, strict=True):
                setattr(part, name, buffer)
            for (weight, _), requires_grad in zip(self._weights, gradients, strict=True):
                weight.requires_grad = requires_grad
            for (part, _), training in zip(self._modes, modes, strict=True):
                part.training = training

    def _refuse_other_weights(self) -> None:
        now = list(self._module.parameters())
        same = all(one is other for one, (other, _) in zip(now, self._weights, strict=True))
        if not same or self._versions != [weight._version for weight in now]:
            raise PlanError(
                f"Weights of a {type(self._module).__name__} changed between a pass and its backward pass, which "
                "computes the pass again. This method can't have gradient_checkpointing=true."
            )

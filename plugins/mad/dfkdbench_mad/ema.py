"""A slow copy of the generator as a memory."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from dfkdbench.seams import Batch, Generator, NetworkGenerator, Setting, TargetOf
from dfkdbench_mad.options import EmaOptions


class EmaReplay:
    """Images of an exponential moving average of the generator's network, from latents of their own.

    MAD (Do et al., NeurIPS 2022): w' <- alpha w' + (1 - alpha) w after every generator update, w' = w at the start.
    After a `fit` of n steps at once the copy moves once, with alpha to the power of n. Buffers of the copy
    are not specified in the paper: they are an option. The latents come from the generator's own random stream.

    Args:
        options: Momentum, buffers, mode.
        setting: Not used.
    """

    def __init__(self, options: EmaOptions, setting: Setting) -> None:
        self._options = options
        self._generator: NetworkGenerator | None = None
        self._network: nn.Module | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the copy: one more generator, the same from start to end."""
        return sum(held.nbytes for held in _held(self._network))

    def follow(self, generator: Generator) -> None:
        """Copies the generator's network as it is."""
        self._generator = cast(NetworkGenerator, generator)
        self._network = copy.deepcopy(self._generator.network).requires_grad_(False)

    @torch.no_grad()
    def generator_learned(self, steps: int) -> None:
        """Moves the copy towards the generator."""
        if self._network is None or self._generator is None:
            return
        network, share = self._generator.network, 1 - self._options.alpha**steps
        for weight, new_weight in zip(self._network.parameters(), network.parameters(), strict=True):
            weight.lerp_(new_weight, share)
        for buffer, new_buffer in zip(self._network.buffers(), network.buffers(), strict=True):
            if self._options.buffers == "ema" and buffer.is_floating_point():
                buffer.lerp_(new_buffer, share)
            else:
                buffer.copy_(new_buffer)

    def observe(self, batch: Batch, target_of: TargetOf) -> None:
        """Does nothing: the copy moves with the generator's updates."""

    @torch.no_grad()
    def sample(self, count: int, target_of: TargetOf) -> Batch | None:
        """Images of the copy (count, C, H, W), or None before there is a generator to follow."""
        if self._network is None or self._generator is None:
            return None
        self._network.train(self._options.mode == "train")
        return Batch(self._network(self._generator.draw_latents(count)))

    def state_dict(self) -> dict[str, Any]:
        """The copy."""
        return {"network": None if self._network is None else dict(self._network.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave, in place.

        Raises:
            ValueError: There is a copy to take back and no generator is followed.
        """
        if state["network"] is None:
            return
        if self._network is None:
            raise ValueError("the replay ema must follow a generator before it takes back a copy of one")
        self._network.load_state_dict(state["network"])


def _held(network: nn.Module | None) -> list[Tensor]:
    return [] if network is None else [*network.parameters(), *network.buffers()]

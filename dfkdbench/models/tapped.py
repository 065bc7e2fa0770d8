"""Makes a network of anyone's give what methods ask of it beside logits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from dfkdbench.signals import Taps


def tapped(network: nn.Module) -> nn.Module:
    """The same network, whose forward takes taps: `network(images, taps)`. Names of its tensors stay as they are.

    Features are the input (B, D) of the last linear layer of `network.modules()`; batch-norm statistics are those of
    every `BatchNorm2d`, its subclasses included, in the order in which the forward pass comes to them. Stages and heads
    are not given. A forward pass without taps is the network's own.

    Raises:
        TypeError: Its class is tapped already.
    """
    kind = type(network)
    if issubclass(kind, _Tapped):
        raise TypeError(f"{kind.__name__} is tapped already")
    network.__class__ = type(f"Tapped{kind.__name__}", (_Tapped, kind), {"__module__": kind.__module__})
    return network


class _Tapped(nn.Module):
    """Put in front of a network's class; hooks are there only while a pass with taps goes on."""

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        if taps is None:
            logits: Tensor = super().forward(images)
            return logits
        with _listening(self, taps):
            logits = super().forward(images)
        return logits


@contextmanager
def _listening(network: nn.Module, taps: Taps) -> Iterator[None]:
    """Hands inputs of layers to the taps inside the block."""

    def batch_norm(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        taps.tap_batch_norm(inputs[0], layer.running_mean, layer.running_var)  # type: ignore[arg-type]

    def last_linear(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        taps.tap_features(inputs[0].flatten(1))

    with ExitStack() as hooks:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats:
                hooks.callback(layer.register_forward_pre_hook(batch_norm).remove)
        linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        if linear:
            hooks.callback(linear[-1].register_forward_pre_hook(last_linear).remove)
        yield

"""What the architectures share: batch norm that reports, chains of modules, and the checks of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from dfkdbench.errors import ConfigError
from dfkdbench.seams import Taps


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm that hands the statistics of its input to the taps.

    In eval mode the forward pass normalises with the running values and changes no buffer.
    """

    running_mean: Tensor
    running_var: Tensor

    def forward(self, input: Tensor, taps: Taps | None = None) -> Tensor:
        """Normalises activations (B, C, H, W)."""
        if taps is not None:
            taps.tap_batch_norm(input, self.running_mean, self.running_var)
        return super().forward(input)


class Segmented(nn.Module):
    """A module that says which of its methods can be computed again on their own in a backward pass.

    Each is called as `method(inputs)` or `method(inputs, taps)` and gives one tensor, of nothing but its arguments and
    this module's weights and buffers.

    Attributes:
        segments: Their names.
    """

    segments: ClassVar[tuple[str, ...]] = ("forward",)


class TappedSequential(nn.Sequential):
    """Modules one after another, each of which takes the taps."""

    def forward(self, input: Tensor, taps: Taps | None = None) -> Tensor:
        """Output of the last module."""
        for module in self:
            input = module(input, taps)
        return input


def initialise_he(network: nn.Module) -> None:
    """Draws convolutions from N(0, 2 / fan_out) and sets their biases to zero (He et al., ICCV 2015, eq. 14).

    Linear layers keep the framework's default.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_shape(
    architecture: str,
    channels: int,
    classes: int,
    image_size: int,
    *,
    sizes: Sequence[int] = (),
    smallest: int = 1,
) -> None:
    """Refuses arguments that the architecture can't take.

    Args:
        sizes: Image sizes in pixels it takes, or empty for any from `smallest` up.

    Raises:
        ConfigError: Naming what was given and what the architecture takes.
    """
    if channels < 1:
        raise ConfigError(f"{architecture} takes images with 1 or more channels, not {channels}.")
    if classes < 2:
        raise ConfigError(f"{architecture} takes 2 or more classes, not {classes}.")
    if sizes and image_size not in sizes:
        wanted = " or ".join(f"{size} x {size}" for size in sizes)
        raise ConfigError(f"{architecture} takes images of {wanted} pixels, not {image_size} x {image_size}.")
    if image_size < smallest:
        raise ConfigError(
            f"{architecture} takes images of {smallest} x {smallest} pixels or more, not {image_size} x {image_size}."
        )

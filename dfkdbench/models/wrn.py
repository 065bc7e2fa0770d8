"""Wide residual networks WRN-d-k (Zagoruyko and Komodakis, BMVC 2016), the students and teachers of ZSKT and CMI."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dfkdbench.models.layers import BatchNorm2d, Segmented, TappedSequential, check_shape, initialise_he
from dfkdbench.seams import Taps

SMALLEST_IMAGE = 8


class PreActivationBlock(Segmented):
    """Batch norm and ReLU before each of two 3 x 3 convolutions.

    Where the channels change, the shortcut is a 1 x 1 convolution of the activated input; else it is the input itself.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else None

    def forward(self, inputs: Tensor, taps: Taps | None = None) -> Tensor:
        """Activations (B, C', H', W') of activations (B, C, H, W)."""
        activated = F.relu(self.bn1(inputs, taps))
        shortcut = inputs if self.shortcut is None else self.shortcut(activated)
        residual: Tensor = self.conv2(F.relu(self.bn2(self.conv1(activated), taps)))
        return residual + shortcut


class WideResNet(nn.Module):
    """Three groups of pre-activation blocks with 16k, 32k and 64k channels.

    Features: the globally averaged vector, 64k entries. Stages: the output of each group, before the final batch
    norm, at 1, 1/2 and 1/4 of the resolution (as ZSKT taps them).

    Args:
        depth: Layers d = 6n + 4, with n blocks in each group.
        width: The factor k.
    """

    def __init__(self, depth: int, width: int, channels: int, classes: int) -> None:
        super().__init__()
        count = (depth - 4) // 6
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        groups: list[TappedSequential] = []
        inputs = 16
        for outputs, stride in ((16 * width, 1), (32 * width, 2), (64 * width, 2)):
            first = PreActivationBlock(inputs, outputs, stride)
            groups.append(TappedSequential(first, *(PreActivationBlock(outputs, outputs, 1) for _ in range(count - 1))))
            inputs = outputs
        self.groups = nn.ModuleList(groups)
        self.bn = BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs, classes)
        initialise_he(self)

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        hidden = self.conv1(images)
        for group in self.groups:
            hidden = group(hidden, taps)
            if taps is not None:
                taps.tap_stage(hidden)
        features = F.relu(self.bn(hidden, taps)).mean((2, 3))
        if taps is not None:
            taps.tap_features(features)
        logits: Tensor = self.fc(features)
        return logits


def _build(depth: int, width: int, channels: int, classes: int, image_size: int) -> WideResNet:
    check_shape(f"wrn_{depth}_{width}", channels, classes, image_size, smallest=SMALLEST_IMAGE)
    return WideResNet(depth, width, channels, classes)


def wrn_40_2(channels: int, classes: int, image_size: int) -> WideResNet:
    """WRN-40-2: 2,243,546 parameters for three channels and ten classes, 128 features.

    Raises:
        ConfigError: For images below 8 x 8 pixels.
    """
    return _build(40, 2, channels, classes, image_size)


def wrn_40_1(channels: int, classes: int, image_size: int) -> WideResNet:
    """WRN-40-1: 563,930 parameters for three channels and ten classes, 64 features.

    Raises:
        ConfigError: For images below 8 x 8 pixels.
    """
    return _build(40, 1, channels, classes, image_size)


def wrn_16_2(channels: int, classes: int, image_size: int) -> WideResNet:
    """WRN-16-2: 691,674 parameters for three channels and ten classes, 128 features.

    Raises:
        ConfigError: For images below 8 x 8 pixels.
    """
    return _build(16, 2, channels, classes, image_size)


def wrn_16_1(channels: int, classes: int, image_size: int) -> WideResNet:
    """WRN-16-1: 175,066 parameters for three channels and ten classes, 64 features.

    Raises:
        ConfigError: For images below 8 x 8 pixels.
    """
    return _build(16, 1, channels, classes, image_size)

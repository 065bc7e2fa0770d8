"""Residual networks of basic blocks (He et al., CVPR 2016).

Below 128 pixels they start with the usual small-image stem, one 3 x 3 convolution of stride 1 without pooling, as in
the official code of DAFL; from 128 pixels on with the ImageNet stem, a 7 x 7 convolution of stride 2 and a 3 x 3 max
pooling of stride 2. Parameter names are torchvision's, so its state dicts fit the ImageNet form.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dfkdbench.models.layers import BatchNorm2d, TappedSequential, check_shape, initialise_he
from dfkdbench.seams import Taps

IMAGENET_STEM_FROM = 128
SMALLEST_IMAGE = 16


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut, which is a 1 x 1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = BatchNorm2d(outputs)
        self.downsample: nn.ModuleList | None = None
        if stride != 1 or inputs != outputs:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.ModuleList([convolution, BatchNorm2d(outputs)])

    def forward(self, inputs: Tensor, taps: Taps | None = None) -> Tensor:
        """Activations (B, C', H', W') of activations (B, C, H, W)."""
        residual = F.relu(self.bn1(self.conv1(inputs), taps))
        residual = self.bn2(self.conv2(residual), taps)
        if self.downsample is None:
            return F.relu(residual + inputs)
        convolution, batch_norm = self.downsample
        return F.relu(residual + batch_norm(convolution(inputs), taps))


class ResNet(nn.Module):
    """A stem, stages of basic blocks, global average pooling and a linear layer.

    Every stage but the first halves the resolution. Features: the pooled vector, one entry per channel of the last
    stage. Stages: the output of each. Convolutions start He-initialised (the official code of DAFL uses the
    framework's default).

    Args:
        blocks: Blocks in each stage.
        widths: Channels of each stage; the stem has those of the first.
    """

    def __init__(
        self, blocks: Sequence[int], widths: Sequence[int], channels: int, classes: int, imagenet_stem: bool
    ) -> None:
        super().__init__()
        self.imagenet_stem = imagenet_stem
        kernel, stride, padding = (7, 2, 3) if imagenet_stem else (3, 1, 1)
        self.conv1 = nn.Conv2d(channels, widths[0], kernel, stride, padding, bias=False)
        self.bn1 = BatchNorm2d(widths[0])
        inputs = widths[0]
        self.stages: list[TappedSequential] = []
        for number, (count, width) in enumerate(zip(blocks, widths, strict=True), start=1):
            first = BasicBlock(inputs, width, 1 if number == 1 else 2)
            stage = TappedSequential(first, *(BasicBlock(width, width, 1) for _ in range(count - 1)))
            self.add_module(f"layer{number}", stage)
            self.stages.append(stage)
            inputs = width
        self.fc = nn.Linear(inputs, classes)
        initialise_he(self)

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        hidden = F.relu(self.bn1(self.conv1(images), taps))
        if self.imagenet_stem:
            hidden = F.max_pool2d(hidden, 3, 2, 1)
        for stage in self.stages:
            hidden = stage(hidden, taps)
            if taps is not None:
                taps.tap_stage(hidden)
        features = hidden.mean((2, 3))
        if taps is not None:
            taps.tap_features(features)
        logits: Tensor = self.fc(features)
        return logits


def _standard(architecture: str, blocks: Sequence[int], channels: int, classes: int, image_size: int) -> ResNet:
    check_shape(architecture, channels, classes, image_size, smallest=SMALLEST_IMAGE)
    return ResNet(blocks, (64, 128, 256, 512), channels, classes, image_size >= IMAGENET_STEM_FROM)


def resnet18(channels: int, classes: int, image_size: int) -> ResNet:
    """ResNet-18: 11,173,962 parameters for 3 x 32 x 32 and ten classes, 512 features.

    Raises:
        ConfigError: For images below 16 x 16 pixels.
    """
    return _standard("resnet18", (2, 2, 2, 2), channels, classes, image_size)


def resnet34(channels: int, classes: int, image_size: int) -> ResNet:
    """ResNet-34: 21,282,122 parameters for 3 x 32 x 32 and ten classes, 512 features.

    Raises:
        ConfigError: For images below 16 x 16 pixels.
    """
    return _standard("resnet34", (3, 4, 6, 3), channels, classes, image_size)

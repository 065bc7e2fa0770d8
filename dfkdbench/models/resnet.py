"""Residual networks of basic blocks or bottlenecks (He et al., CVPR 2016).

Below 128 pixels they start with the usual small-image stem, one 3 x 3 convolution of stride 1 without pooling, as in
the official code of DAFL; from 128 pixels on with the ImageNet stem, a 7 x 7 convolution of stride 2 and a 3 x 3 max
pooling of stride 2. Parameter names are torchvision's, so its state dicts fit the ImageNet form.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dfkdbench.models.layers import BatchNorm2d, Segmented, TappedSequential, check_shape, initialise_he
from dfkdbench.seams import Taps

IMAGENET_STEM_FROM = 128
SMALLEST_IMAGE = 16


def build_shortcut(inputs: int, outputs: int, stride: int) -> nn.ModuleList | None:
    """A 1 x 1 convolution and its batch norm where a block changes the shape; None for the input itself."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.ModuleList([nn.Conv2d(inputs, outputs, 1, stride, bias=False), BatchNorm2d(outputs)])


def shorten(shortcut: nn.ModuleList | None, inputs: Tensor, taps: Taps | None) -> Tensor:
    """What a shortcut of `build_shortcut` makes of a block's input."""
    if shortcut is None:
        return inputs
    convolution, batch_norm = shortcut
    shortened: Tensor = batch_norm(convolution(inputs), taps)
    return shortened


class BasicBlock(Segmented):
    """Two 3 x 3 convolutions around a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = BatchNorm2d(outputs)
        self.downsample = build_shortcut(inputs, outputs, stride)

    def forward(self, inputs: Tensor, taps: Taps | None = None) -> Tensor:
        """Activations (B, C', H', W') of activations (B, C, H, W)."""
        residual = F.relu(self.bn1(self.conv1(inputs), taps))
        residual = self.bn2(self.conv2(residual), taps)
        return F.relu(residual + shorten(self.downsample, inputs, taps))


class Bottleneck(Segmented):
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1 around a shortcut; the inner two have a quarter of the channels.

    The stride is that of the 3 x 3 convolution, as in torchvision, not that of the first one, as in the paper.
    """

    expansion = 4

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = outputs // self.expansion
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = BatchNorm2d(outputs)
        self.downsample = build_shortcut(inputs, outputs, stride)

    def forward(self, inputs: Tensor, taps: Taps | None = None) -> Tensor:
        """Activations (B, C', H', W') of activations (B, C, H, W)."""
        residual = F.relu(self.bn1(self.conv1(inputs), taps))
        residual = F.relu(self.bn2(self.conv2(residual), taps))
        residual = self.bn3(self.conv3(residual), taps)
        return F.relu(residual + shorten(self.downsample, inputs, taps))


class ResNet(Segmented):
    """A stem, stages of blocks, global average pooling and a linear layer.

    Every stage but the first halves the resolution. Features: the pooled vector, one entry per channel of the last
    stage. Stages: the output of each. Convolutions start He-initialised (the official code of DAFL uses the
    framework's default).

    Args:
        blocks: Blocks in each stage.
        widths: Channels of each stage, a quarter of them with bottlenecks; the stem has those of the first.
        block: What stages are made of.
    """

    segments = ("stem",)

    def __init__(
        self,
        blocks: Sequence[int],
        widths: Sequence[int],
        channels: int,
        classes: int,
        imagenet_stem: bool,
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
    ) -> None:
        super().__init__()
        self.imagenet_stem = imagenet_stem
        kernel, stride, padding = (7, 2, 3) if imagenet_stem else (3, 1, 1)
        self.conv1 = nn.Conv2d(channels, widths[0], kernel, stride, padding, bias=False)
        self.bn1 = BatchNorm2d(widths[0])
        inputs = widths[0]
        self.stages: list[TappedSequential] = []
        for number, (count, width) in enumerate(zip(blocks, widths, strict=True), start=1):
            outputs = block.expansion * width
            first = block(inputs, outputs, 1 if number == 1 else 2)
            stage = TappedSequential(first, *(block(outputs, outputs, 1) for _ in range(count - 1)))
            self.add_module(f"layer{number}", stage)
            self.stages.append(stage)
            inputs = outputs
        self.fc = nn.Linear(inputs, classes)
        initialise_he(self)

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        hidden = self.stem(images, taps)
        for stage in self.stages:
            hidden = stage(hidden, taps)
            if taps is not None:
                taps.tap_stage(hidden)
        features = hidden.mean((2, 3))
        if taps is not None:
            taps.tap_features(features)
        logits: Tensor = self.fc(features)
        return logits

    def stem(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Maps (B, C', H', W') of images (B, C, H, W)."""
        hidden = F.relu(self.bn1(self.conv1(images), taps))
        return F.max_pool2d(hidden, 3, 2, 1) if self.imagenet_stem else hidden


def _standard(
    architecture: str,
    blocks: Sequence[int],
    channels: int,
    classes: int,
    image_size: int,
    block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
) -> ResNet:
    check_shape(architecture, channels, classes, image_size, smallest=SMALLEST_IMAGE)
    return ResNet(blocks, (64, 128, 256, 512), channels, classes, image_size >= IMAGENET_STEM_FROM, block)


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


def resnet50(channels: int, classes: int, image_size: int) -> ResNet:
    """ResNet-50: 25,557,032 parameters for 3 x 224 x 224 and a thousand classes, 2048 features.

    Raises:
        ConfigError: For images below 16 x 16 pixels.
    """
    return _standard("resnet50", (3, 4, 6, 3), channels, classes, image_size, Bottleneck)

"""VGG-11 with batch norm for small images (Simonyan and Zisserman, ICLR 2015), a teacher of DeepInversion and CMI."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dfkdbench.models.layers import BatchNorm2d, Segmented, TappedSequential, check_shape, initialise_he
from dfkdbench.seams import Taps

SMALLEST_IMAGE = 16


class Convolution(Segmented):
    """A 3 x 3 convolution with bias, batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.bn = BatchNorm2d(outputs)

    def forward(self, inputs: Tensor, taps: Taps | None = None) -> Tensor:
        """Activations (B, C', H, W) of activations (B, C, H, W)."""
        return F.relu(self.bn(self.conv(inputs), taps))


class Vgg(nn.Module):
    """Blocks of convolutions with batch norm and ReLU, max pooling between blocks, one linear layer.

    The fully connected layers of the original give way to global average pooling, as usual on CIFAR. Features: the
    pooled vector of 512 entries. Stages: the output of each block before pooling.

    Args:
        blocks: Channels of the convolutions in each block.
    """

    def __init__(self, blocks: tuple[tuple[int, ...], ...], channels: int, classes: int) -> None:
        super().__init__()
        inputs = channels
        built: list[TappedSequential] = []
        for widths in blocks:
            block = TappedSequential()
            for width in widths:
                block.append(Convolution(inputs, width))
                inputs = width
            built.append(block)
        self.blocks = nn.ModuleList(built)
        self.fc = nn.Linear(inputs, classes)
        initialise_he(self)

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        hidden = images
        for number, block in enumerate(self.blocks):
            if number:
                hidden = F.max_pool2d(hidden, 2)
            hidden = block(hidden, taps)
            if taps is not None:
                taps.tap_stage(hidden)
        features = hidden.mean((2, 3))
        if taps is not None:
            taps.tap_features(features)
        logits: Tensor = self.fc(features)
        return logits


def vgg11(channels: int, classes: int, image_size: int) -> Vgg:
    """VGG-11 with batch norm: 9,231,114 parameters for three channels and ten classes, 512 features.

    Raises:
        ConfigError: For images below 16 x 16 pixels.
    """
    check_shape("vgg11", channels, classes, image_size, smallest=SMALLEST_IMAGE)
    return Vgg(((64,), (128,), (256, 256), (512, 512), (512, 512)), channels, classes)

"""Small networks for grey 16 x 16 images: the default cells, light enough to distil on one processor core."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dfkdbench.models.layers import check_shape
from dfkdbench.models.resnet import ResNet
from dfkdbench.seams import Taps

IMAGE_SIZES = (16,)


class SmallLeNet(nn.Module):
    """A LeNet for 16 x 16 images: 5 x 5, 3 x 3 and 2 x 2 convolutions with max pooling between; no batch norm.

    Features: output of the third convolution after its ReLU, a vector since its map is 1 x 1. Stages: the first two
    convolutions after their ReLU (12 x 12 and 4 x 4).

    Args:
        widths: Channels of the three convolutions.
    """

    def __init__(self, widths: tuple[int, int, int], channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 5)
        self.conv2 = nn.Conv2d(widths[0], widths[1], 3)
        self.conv3 = nn.Conv2d(widths[1], widths[2], 2)
        self.fc = nn.Linear(widths[2], classes)

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, 16, 16)."""
        first = F.relu(self.conv1(images))
        second = F.relu(self.conv2(F.max_pool2d(first, 2)))
        features = F.relu(self.conv3(F.max_pool2d(second, 2))).flatten(1)
        if taps is not None:
            taps.tap_stage(first)
            taps.tap_stage(second)
            taps.tap_features(features)
        logits: Tensor = self.fc(features)
        return logits


def lenet_s(channels: int, classes: int, image_size: int) -> SmallLeNet:
    """The teacher without batch norm: 13,962 parameters for ten classes, 64 features.

    Raises:
        ConfigError: For images other than 16 x 16 pixels.
    """
    check_shape("lenet_s", channels, classes, image_size, sizes=IMAGE_SIZES)
    return SmallLeNet((16, 32, 64), channels, classes)


def lenet_xs(channels: int, classes: int, image_size: int) -> SmallLeNet:
    """The student of `lenet_s`: 2,242 parameters for ten classes, 24 features.

    Raises:
        ConfigError: For images other than 16 x 16 pixels.
    """
    check_shape("lenet_xs", channels, classes, image_size, sizes=IMAGE_SIZES)
    return SmallLeNet((6, 12, 24), channels, classes)


def resnet_s(channels: int, classes: int, image_size: int) -> ResNet:
    """The teacher with batch norm, three stages of one basic block: 19,810 parameters for ten classes, 32 features.

    Raises:
        ConfigError: For images other than 16 x 16 pixels.
    """
    check_shape("resnet_s", channels, classes, image_size, sizes=IMAGE_SIZES)
    return ResNet((1, 1, 1), (8, 16, 32), channels, classes, imagenet_stem=False)


def resnet_xs(channels: int, classes: int, image_size: int) -> ResNet:
    """The student of `resnet_s`: 5,142 parameters for ten classes, 16 features.

    Raises:
        ConfigError: For images other than 16 x 16 pixels.
    """
    check_shape("resnet_xs", channels, classes, image_size, sizes=IMAGE_SIZES)
    return ResNet((1, 1, 1), (4, 8, 16), channels, classes, imagenet_stem=False)

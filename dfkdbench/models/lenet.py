"""LeNet-5 and its half: the MNIST pair of DAFL (Chen et al., ICCV 2019) and most of its followers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dfkdbench.models.layers import check_shape
from dfkdbench.seams import Taps

IMAGE_SIZES = (32,)


class LeNet(nn.Module):
    """Three 5 x 5 convolutions with max pooling between them and two linear layers; no batch norm.

    Features: output of the third convolution after its ReLU, a vector since its map is 1 x 1. Stages: the first two
    convolutions after their ReLU (28 x 28 and 10 x 10). Weights start from the framework's default, as in the
    official code.

    Args:
        widths: Channels of the three convolutions.
        hidden: Units of the first linear layer.
    """

    def __init__(self, widths: tuple[int, int, int], hidden: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 5)
        self.conv2 = nn.Conv2d(widths[0], widths[1], 5)
        self.conv3 = nn.Conv2d(widths[1], widths[2], 5)
        self.fc1 = nn.Linear(widths[2], hidden)
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, 32, 32)."""
        first = F.relu(self.conv1(images))
        second = F.relu(self.conv2(F.max_pool2d(first, 2)))
        features = F.relu(self.conv3(F.max_pool2d(second, 2))).flatten(1)
        if taps is not None:
            taps.tap_stage(first)
            taps.tap_stage(second)
            taps.tap_features(features)
        logits: Tensor = self.fc2(F.relu(self.fc1(features)))
        return logits


def lenet5(channels: int, classes: int, image_size: int) -> LeNet:
    """LeNet-5: 61,706 parameters for one channel and ten classes, 120 features.

    Raises:
        ConfigError: For images other than 32 x 32 pixels.
    """
    check_shape("lenet5", channels, classes, image_size, sizes=IMAGE_SIZES)
    return LeNet((6, 16, 120), 84, channels, classes)


def lenet5_half(channels: int, classes: int, image_size: int) -> LeNet:
    """LeNet-5 with half the channels: 15,738 parameters for one channel and ten classes, 60 features.

    Raises:
        ConfigError: For images other than 32 x 32 pixels.
    """
    check_shape("lenet5_half", channels, classes, image_size, sizes=IMAGE_SIZES)
    return LeNet((3, 8, 60), 42, channels, classes)

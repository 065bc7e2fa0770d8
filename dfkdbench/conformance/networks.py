"""Toy networks of the kit: any number of channels and classes, any image from 16 pixels on, every signal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfkdbench.models.layers import BatchNorm2d
from dfkdbench.seams import Taps

HEADS = 3
WIDTH = 24


class ToyNetwork(nn.Module):
    """Three strided convolutions with batch norm, and one or several linear heads.

    Stages: outputs of the first two after their ReLU. Features: the third one's, pooled to 2 x 2, as a vector of
    `WIDTH` entries; of several heads one vector each, one behind the other.

    Args:
        widths: Channels of the first two convolutions.
    """

    def __init__(self, widths: tuple[int, int], channels: int, classes: int, heads: int = 1) -> None:
        super().__init__()
        sizes = (channels, *widths)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1) for inputs, outputs in zip(sizes, widths, strict=False)
        )
        self.norms = nn.ModuleList(BatchNorm2d(width) for width in widths)
        self.encoders = nn.ModuleList(nn.Conv2d(widths[-1], WIDTH // 4, 3, stride=2, padding=1) for _ in range(heads))
        self.classifiers = nn.ModuleList(nn.Linear(WIDTH, classes) for _ in range(heads))

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            images = F.relu(norm(convolution(images), taps))
            if taps is not None:
                taps.tap_stage(images)
        features = [F.adaptive_avg_pool2d(F.relu(encoder(images)), 2).flatten(1) for encoder in self.encoders]
        pairs = zip(self.classifiers, features, strict=True)
        heads = [classifier(feature) for classifier, feature in pairs]
        if taps is not None:
            taps.tap_features(torch.cat(features, dim=1))
            if len(heads) > 1:
                taps.tap_heads(heads)
        return torch.stack(heads).mean(0)


def toy_teacher(channels: int, classes: int, image_size: int) -> ToyNetwork:
    """The toy teacher."""
    return ToyNetwork((12, 16), channels, classes)


def toy_student(channels: int, classes: int, image_size: int) -> ToyNetwork:
    """The toy student: thinner, its features as long as the teacher's."""
    return ToyNetwork((8, 12), channels, classes)


def toy_student_heads(channels: int, classes: int, image_size: int) -> ToyNetwork:
    """The toy student with a head for each of three teachers."""
    return ToyNetwork((8, 12), channels, classes, HEADS)

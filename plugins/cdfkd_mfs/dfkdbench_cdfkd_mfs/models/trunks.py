"""The shared part of a student with several heads, cut out of the suite's own architectures."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dfkdbench.models.lenet import LeNet
from dfkdbench.models.resnet import ResNet
from dfkdbench.models.wrn import WideResNet
from dfkdbench.seams import Taps


def tap_stages(stages: Sequence[Tensor], taps: Taps | None) -> None:
    """Hands the outputs of all stages to the taps."""
    if taps is not None:
        for stage in stages:
            taps.tap_stage(stage)


class ResNetTrunk(nn.Module):
    """Stem and stages of a residual network.

    Args:
        shared_blocks: Blocks of the last stage that stay in the trunk: None for all, 0 for a trunk that ends one
            stage earlier.
    """

    def __init__(self, network: ResNet, shared_blocks: int | None = None) -> None:
        super().__init__()
        self.imagenet_stem = network.imagenet_stem
        self.conv1, self.bn1 = network.conv1, network.bn1
        *earlier, last = network.stages
        kept = last if shared_blocks is None else last[:shared_blocks]
        self.stages = nn.ModuleList([*earlier, kept] if len(kept) else earlier)

    def forward(self, images: Tensor, taps: Taps | None = None) -> list[Tensor]:
        """Outputs (B, C, H, W) of the stages, of images (B, C, H, W)."""
        hidden = F.relu(self.bn1(self.conv1(images), taps))
        if self.imagenet_stem:
            hidden = F.max_pool2d(hidden, 3, 2, 1)
        return _through(self.stages, hidden, taps)


class WideResNetTrunk(nn.Module):
    """Stem and groups of a wide residual network; its final batch norm is left out, as in the official code."""

    def __init__(self, network: WideResNet) -> None:
        super().__init__()
        self.conv1, self.groups = network.conv1, network.groups

    def forward(self, images: Tensor, taps: Taps | None = None) -> list[Tensor]:
        """Outputs (B, C, H, W) of the groups, of images (B, C, H, W)."""
        return _through(self.groups, self.conv1(images), taps)


class LeNetTrunk(nn.Module):
    """The three convolutions of a LeNet-5; the last stage is the feature map of 1 x 1, which is not tapped."""

    def __init__(self, network: LeNet) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = network.conv1, network.conv2, network.conv3

    def forward(self, images: Tensor, taps: Taps | None = None) -> list[Tensor]:
        """Outputs (B, C, H, W) of the convolutions after their ReLU, of images (B, C, 32, 32)."""
        first = F.relu(self.conv1(images))
        second = F.relu(self.conv2(F.max_pool2d(first, 2)))
        tap_stages((first, second), taps)
        return [first, second, F.relu(self.conv3(F.max_pool2d(second, 2)))]


class SmallLeNetTrunk(nn.Module):
    """The first two convolutions of a small LeNet for 16 x 16 images."""

    def __init__(self, widths: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 5)
        self.conv2 = nn.Conv2d(widths[0], widths[1], 3)

    def forward(self, images: Tensor, taps: Taps | None = None) -> list[Tensor]:
        """Outputs (B, C, H, W) of the convolutions after their ReLU, of images (B, C, 16, 16)."""
        first = F.relu(self.conv1(images))
        stages = [first, F.relu(self.conv2(F.max_pool2d(first, 2)))]
        tap_stages(stages, taps)
        return stages


def _through(modules: nn.ModuleList, hidden: Tensor, taps: Taps | None) -> list[Tensor]:
    """Outputs of modules one behind the other."""
    outputs = []
    for module in modules:
        hidden = module(hidden, taps)
        outputs.append(hidden)
    tap_stages(outputs, taps)
    return outputs

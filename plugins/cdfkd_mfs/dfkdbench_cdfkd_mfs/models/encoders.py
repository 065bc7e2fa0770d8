"""What lies between the trunk and a head's linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfkdbench.models.layers import BatchNorm2d
from dfkdbench.seams import Taps


class SeparableConvolution(nn.Module):
    """Two depthwise-separable convolutions, each with batch norm and ReLU; the first halves the resolution.

    The first keeps the number of channels, the second changes it. No biases. Header encoder of CDFKD-MFS
    (Hao et al., 2022).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise1 = nn.Conv2d(inputs, inputs, 3, 2, 1, groups=inputs, bias=False)
        self.pointwise1 = nn.Conv2d(inputs, inputs, 1, bias=False)
        self.bn1 = BatchNorm2d(inputs)
        self.depthwise2 = nn.Conv2d(inputs, inputs, 3, 1, 1, groups=inputs, bias=False)
        self.pointwise2 = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = BatchNorm2d(outputs)

    def forward(self, inputs: Tensor, taps: Taps | None = None) -> Tensor:
        """Activations (B, C', H/2, W/2), sides rounded up, of activations (B, C, H, W)."""
        hidden = F.relu(self.bn1(self.pointwise1(self.depthwise1(inputs)), taps))
        return F.relu(self.bn2(self.pointwise2(self.depthwise2(hidden)), taps))


class MultiLevelEncoder(nn.Module):
    """Multi-level feature sharing: the head looks at every stage of the trunk.

    a_1 = E_1(u_1), a_l = E_l([u_l; a_(l-1)]) for stages u_l, then the global average of the last a. E_l gives as many
    channels as stage l + 1 has, the last as many as the last stage.

    Args:
        widths: Channels of the trunk's stages, each of half the resolution of the one before.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.steps = nn.ModuleList([SeparableConvolution(widths[0], widths[1])])
        for width, following in pairwise([*widths[1:], widths[-1]]):
            self.steps.append(SeparableConvolution(2 * width, following))

    def forward(self, stages: Sequence[Tensor], taps: Taps | None = None) -> Tensor:
        """Feature vector (B, D) of the outputs of the trunk's stages."""
        first, *later = self.steps
        hidden = first(stages[0], taps)
        for step, stage in zip(later, stages[1:], strict=True):
            hidden = step(torch.cat([stage, hidden], dim=1), taps)
        vector: Tensor = hidden.mean((2, 3))
        return vector


class LastLevelEncoder(nn.Module):
    """A private copy of the trunk's last blocks, as in CDFKD: the head looks at the last shared stage only.

    Args:
        blocks: `blocks(stage, taps)` -> activations (B, D, H, W).
    """

    def __init__(self, blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, stages: Sequence[Tensor], taps: Taps | None = None) -> Tensor:
        """Feature vector (B, D) of the outputs of the trunk's stages."""
        vector: Tensor = self.blocks(stages[-1], taps).mean((2, 3))
        return vector


class LinearEncoder(nn.Module):
    """A private hidden layer with ReLU on the trunk's feature vector: the head of a LeNet-5."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, stages: Sequence[Tensor], taps: Taps | None = None) -> Tensor:
        """Feature vector (B, D) of the outputs of the trunk's stages, the last of which is (B, C, 1, 1)."""
        return F.relu(self.fc(stages[-1].flatten(1)))


class PooledConvolutionEncoder(nn.Module):
    """A private third convolution after max pooling: the head of a small LeNet."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 2)

    def forward(self, stages: Sequence[Tensor], taps: Taps | None = None) -> Tensor:
        """Feature vector (B, D) of the outputs of the trunk's stages, the last of which is (B, C, 4, 4)."""
        return F.relu(self.conv(F.max_pool2d(stages[-1], 2))).flatten(1)

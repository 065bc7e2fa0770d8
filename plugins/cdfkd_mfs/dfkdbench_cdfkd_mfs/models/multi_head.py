"""A trunk that is shared, and heads that each end in a linear layer of their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dfkdbench.seams import Taps


class MultiHeadNetwork(nn.Module):
    """The mean of its heads' logits.

    Features: the heads' feature vectors one behind the other, (B, N D), each the input of that head's linear layer.
    Stages: those of the trunk. Heads: the logits of each.

    Args:
        trunk: `trunk(images, taps)` -> its stages' outputs, the last one last.
        encoders: One a head: `encoder(stages, taps)` -> feature vector (B, D).
        width: D.
    """

    def __init__(self, trunk: nn.Module, encoders: Sequence[nn.Module], width: int, classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.encoders = nn.ModuleList(encoders)
        self.classifiers = nn.ModuleList(nn.Linear(width, classes) for _ in encoders)

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        stages = self.trunk(images, taps)
        features = [encoder(stages, taps) for encoder in self.encoders]
        pairs = zip(self.classifiers, features, strict=True)
        heads = [classifier(feature) for classifier, feature in pairs]
        if taps is not None:
            taps.tap_features(torch.cat(features, dim=1))
            taps.tap_heads(heads)
        return torch.stack(heads).mean(0)

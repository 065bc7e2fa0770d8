"""The embedded default: 1,797 scanned digits, shipped in the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import torch

from dfkdbench.datasets.images import TensorImages, resize_pixels, to_uint8

SIZE = 16
INK_LEVELS = 16


def load_digits(root: Path | None, train: bool, download: bool = False) -> TensorImages:
    """1,297 training or 500 test digits of 10 classes, (1, 16, 16).

    The scans are 8x8 with ink levels 0..16. Levels are scaled to 0..255 and enlarged in one step, so
    pixels are rounded once; all values before rounding are exact in float32.

    Args:
        root: Not used; the data lie in the package.
        train: Training images, else test images.
        download: Not used.
    """
    split = "train" if train else "test"
    asset = resources.files("dfkdbench").joinpath("assets", "digits.npz")
    with asset.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        levels = torch.from_numpy(arrays[f"{split}_images"]).unsqueeze(1)
        labels = torch.from_numpy(arrays[f"{split}_labels"])
    images = to_uint8(resize_pixels(levels.float() * (255 / INK_LEVELS), SIZE))
    return TensorImages(images, labels, classes=10, name="digits")

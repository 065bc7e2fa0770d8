"""Looks through a folder of images once, and writes the card that makes a data set of it."""

from __future__ import annotations

from pathlib import Path

import torch

from dfkdbench.datasets.folders import count_classes
from dfkdbench.datasets.images import ImageSet
from dfkdbench.datasets.loading import load_dataset
from dfkdbench.datasets.local import FolderCard, cards_folder
from dfkdbench.errors import ConfigError
from dfkdbench.files import write_atomically
from dfkdbench.registry import Registry


def add_folder(name: str, folder: Path, image_size: int, registry: Registry, overwrite: bool = False) -> FolderCard:
    """Reads every image of the folder and makes it the data set `name`.

    Args:
        folder: In one of the layouts of `dfkdbench.datasets.folders.load_folder`.
        image_size: Side of the square images in pixels, after resizing.

    Raises:
        ConfigError: The name is taken.
        DataError: Another layout, or a file that is no image.
    """
    path = cards_folder() / f"{name}.json"
    if name in registry.datasets.names() and not (overwrite and path.exists()):
        raise ConfigError(
            f"There is a data set '{name}' already. Choose another name, or replace one that you added with --force. "
            "List them with: dfkdbench list datasets"
        )
    classes = count_classes(folder)
    if classes < 2:
        raise ConfigError(f"'{folder}' holds {classes} class; a data set has 2 or more.")
    start = FolderCard(
        schema=1,
        name=name,
        folder=str(folder.resolve()),
        classes=classes,
        image_size=image_size,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        train_images=1,
        test_images=1,
        fingerprint="",
    )
    train, test = (load_dataset(start.spec(), None, train=part) for part in (True, False))
    mean, std = channel_moments(train)
    for _ in test.batches(256):  # every file is read now, so that a damaged one is told before a run
        pass
    found = {"train_images": len(train), "test_images": len(test), "fingerprint": test.fingerprint()}
    card = start.model_copy(update={"mean": mean, "std": std, **found})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, card.model_dump_json(by_alias=True, indent=2) + "\n")
    return card


def channel_moments(images: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of all pixels scaled to 0..1, per channel, rounded to four digits.

    The deviation is at least 0.0001, so that it can be divided by.
    """
    total, pixels = torch.zeros(2, images.shape[0], dtype=torch.float64), 0
    for batch, _ in images.batches(256):
        scaled = batch.to(torch.float64) / 255
        total += torch.stack([scaled.sum((0, 2, 3)), scaled.square().sum((0, 2, 3))])
        pixels += scaled[:, 0].numel()
    mean, square = total / pixels
    std = (square - mean.square()).clamp(min=0).sqrt().clamp(min=1e-4)
    return tuple(round(value, 4) for value in mean.tolist()), tuple(round(value, 4) for value in std.tolist())

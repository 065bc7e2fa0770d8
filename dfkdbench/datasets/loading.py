"""Loads a data set by its description. On the judge's side only."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from dfkdbench.datasets.folder_images import FolderImages
from dfkdbench.datasets.images import ImageSet
from dfkdbench.descriptors import DatasetSpec
from dfkdbench.errors import DataError
from dfkdbench.places import data_folder


def load_dataset(spec: DatasetSpec, root: Path | None, train: bool, download: bool = False) -> ImageSet:
    """The training or test images of a data set.

    Args:
        root: Folder with its files. None means the folder in its description, else the suite's own data folder, which
            is filled by download where the data set allows that.

    Raises:
        DataError: Files are missing or damaged, or the images are not what the description says.
    """
    if root is None and spec.root:
        root = Path(spec.root)
    if spec.needs_root and root is None:
        root, download = data_folder(), True
        root.mkdir(parents=True, exist_ok=True)
    if spec.needs_root and not (root and root.is_dir()):
        raise DataError(f"There is no folder {root}. --data-root takes the folder with the files of {spec.name}.")
    module, _, attribute = spec.target.partition(":")
    more = {} if spec.arguments is None else {"spec": spec, **spec.arguments}
    images: ImageSet = getattr(importlib.import_module(module), attribute)(root, train, download, **more)
    expected = (spec.channels, spec.image_size, spec.image_size)
    if tuple(images.shape) != expected or images.classes != spec.classes:
        raise DataError(
            f"The loader of {spec.name} gave {images.classes} classes of shape {tuple(images.shape)}; "
            f"its description says {spec.classes} classes of shape {expected}."
        )
    return images


def read_fingerprint(images: ImageSet) -> str:
    """The fingerprint of what is in the files now, not what is kept of an earlier reading."""
    return images.read_fingerprint() if isinstance(images, FolderImages) else images.fingerprint()


def describe_reading(images: ImageSet) -> dict[str, Any]:
    """How a set is held and where its fingerprint is from, for the record."""
    if isinstance(images, FolderImages):
        return {"images": len(images), "held": "in its files", "fingerprint": images.fingerprint_from}
    return {"images": len(images), "held": "in memory", "fingerprint": "what was read for this command"}


def has_to_be_read(images: ImageSet) -> bool:
    """Whether its fingerprint takes minutes: that of a large set, not kept from an earlier reading."""
    return isinstance(images, FolderImages) and not images.fingerprint_is_kept

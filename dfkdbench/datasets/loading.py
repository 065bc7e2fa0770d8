"""Loads a data set by its description. On the judge's side only."""

from __future__ import annotations

import importlib
from pathlib import Path

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

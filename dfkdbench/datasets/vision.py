"""Data sets that torchvision reads. torchvision is imported when a loader is called, not before.

Grey sets are enlarged to 32x32 once, in bulk. A loader is called as `load_x(root, train, download)`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dfkdbench.datasets.folder_images import cut_square
from dfkdbench.datasets.images import TensorImages, resize_square
from dfkdbench.descriptors import DatasetSpec
from dfkdbench.errors import DataError

SIZE = 32
CIFAR10_FILES = tuple(
    f"cifar-10-batches-py/{file}"
    for file in (*(f"data_batch_{part}" for part in range(1, 6)), "test_batch", "batches.meta")
)
CIFAR100_FILES = tuple(f"cifar-100-python/{file}" for file in ("train", "test", "meta"))

READ_ERRORS = (OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AssertionError)
"""What torchvision's readers raise on missing, damaged or unreachable files."""


def load_mnist(root: Path, train: bool, download: bool = False) -> TensorImages:
    """MNIST: 60,000 / 10,000 images of 10 digits, (1, 32, 32)."""
    return _load_idx("mnist", "MNIST", root, train, download)


def load_fashion_mnist(root: Path, train: bool, download: bool = False) -> TensorImages:
    """Fashion-MNIST: 60,000 / 10,000 images of 10 kinds of clothing, (1, 32, 32)."""
    return _load_idx("fashion_mnist", "FashionMNIST", root, train, download)


def load_kmnist(root: Path, train: bool, download: bool = False) -> TensorImages:
    """KMNIST: 60,000 / 10,000 images of 10 cursive characters, (1, 32, 32)."""
    return _load_idx("kmnist", "KMNIST", root, train, download)


def load_usps(root: Path, train: bool, download: bool = False) -> TensorImages:
    """USPS: 7,291 / 2,007 images of 10 digits, 16x16 enlarged to (1, 32, 32)."""
    from torchvision.datasets import USPS

    files = ("usps.bz2" if train else "usps.t.bz2",)
    source = _read("usps", root, files, download, lambda: USPS(root, train=train, download=download))
    images = torch.from_numpy(source.data).unsqueeze(1)
    return TensorImages(resize_square(images, SIZE), torch.tensor(source.targets), classes=10, name="usps")


def load_svhn(root: Path, train: bool, download: bool = False) -> TensorImages:
    """SVHN: 73,257 / 26,032 images of 10 house-number digits, (3, 32, 32). The extra split is not used."""
    from torchvision.datasets import SVHN

    split = "train" if train else "test"
    files = (f"{split}_32x32.mat",)
    source = _read("svhn", root, files, download, lambda: SVHN(root, split=split, download=download))
    images = torch.from_numpy(np.ascontiguousarray(source.data))
    return TensorImages(images, torch.from_numpy(source.labels), classes=10, name="svhn")


def load_cifar10(root: Path, train: bool, download: bool = False) -> TensorImages:
    """CIFAR-10: 50,000 / 10,000 images of 10 classes, (3, 32, 32)."""
    from torchvision.datasets import CIFAR10

    source = _read("cifar10", root, CIFAR10_FILES, download, lambda: CIFAR10(root, train=train, download=download))
    return _from_cifar(source, classes=10, name="cifar10")


def load_cifar100(root: Path, train: bool, download: bool = False) -> TensorImages:
    """CIFAR-100: 50,000 / 10,000 images of 100 fine classes, (3, 32, 32)."""
    from torchvision.datasets import CIFAR100

    source = _read("cifar100", root, CIFAR100_FILES, download, lambda: CIFAR100(root, train=train, download=download))
    return _from_cifar(source, classes=100, name="cifar100")


def load_class(
    root: Path,
    train: bool,
    download: bool = False,
    *,
    spec: DatasetSpec,
    reader: str,
    train_arguments: Mapping[str, Any],
    test_arguments: Mapping[str, Any],
) -> TensorImages:
    """Any class of torchvision that gives PIL images and labels: (C, size, size), resized and cropped to the center.

    Args:
        spec: Gives channels (1: grey, 3: colour), size and number of classes.
        reader: "package.module:Class", called as `Class(root, ...)`; gets `download` where it takes it.
        train_arguments: How the class is told to read the training part, such as {"split": "train"}.
        test_arguments: Likewise for the test part.

    Raises:
        DataError: No such class, or files that are missing, damaged or could not be fetched.
    """
    module, _, attribute = reader.partition(":")
    try:
        read = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise DataError(f"Data set '{spec.name}': there is no class '{reader}': {error}.") from error
    chosen = dict(train_arguments if train else test_arguments)
    if "download" in inspect.signature(read).parameters:
        chosen["download"] = download
    source = _read(spec.name, root, (), download, lambda: read(root, **chosen))
    mode, size = ("L", "RGB")[spec.channels == 3], spec.image_size
    labels = torch.empty(len(source), dtype=torch.int64)
    images = torch.empty((len(source), spec.channels, size, size), dtype=torch.uint8)
    for index in range(len(source)):
        image, label = source[index]
        images[index], labels[index] = cut_square(image.convert(mode), size, size), int(label)
    return TensorImages(images, labels, spec.classes, name=spec.name)


def _load_idx(name: str, class_name: str, root: Path, train: bool, download: bool) -> TensorImages:
    from torchvision import datasets

    reader = {"MNIST": datasets.MNIST, "FashionMNIST": datasets.FashionMNIST, "KMNIST": datasets.KMNIST}[class_name]
    files = tuple(
        f"{class_name}/raw/{part}-{content}-ubyte"
        for part in ("train", "t10k")
        for content in ("images-idx3", "labels-idx1")
    )
    source = _read(name, root, files, download, lambda: reader(root, train=train, download=download))
    return TensorImages(resize_square(source.data.unsqueeze(1), SIZE), source.targets, classes=10, name=name)


def _from_cifar(source: Any, classes: int, name: str) -> TensorImages:
    images = torch.from_numpy(source.data).permute(0, 3, 1, 2)
    return TensorImages(images, torch.tensor(source.targets), classes=classes, name=name)


def _read(name: str, root: Path, files: Sequence[str], download: bool, read: Callable[[], Any]) -> Any:
    """What `read` gives.

    Args:
        files: What `read` looks for, relative to the root.

    Raises:
        DataError: Files that are missing, damaged or could not be fetched.
    """
    try:
        return read()
    except READ_ERRORS as error:
        absent = [file for file in files if not (root / file).is_file()]
        if absent and download:
            raise DataError(
                f"Data set '{name}': could not fetch {', '.join(absent)} into '{root}': {error}. "
                "Fetch the files by other means and name their folder with --data-root DIR."
            ) from error
        if absent:
            raise DataError(
                f"Data set '{name}': looked in '{root}' for {', '.join(files)}; missing: {', '.join(absent)}. "
                "Name the folder that holds them with --data-root DIR, or fetch them with --download."
            ) from error
        state, which = ("damaged", f" ({', '.join(files)})") if files else ("missing, damaged", "")
        raise DataError(
            f"Data set '{name}': the files in '{root}' are {state} or not the published ones{which}: "
            f"{error or type(error).__name__}. Delete them and fetch them again with --download."
        ) from error

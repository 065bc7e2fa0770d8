"""Loaders on the published files, where DFKDBENCH_DATA_ROOT names a folder that holds them."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision.datasets as reference

from dfkdbench.datasets import folders, vision
from dfkdbench.datasets.images import ImageSet, TensorImages, make_resident
from dfkdbench.datasets.specs import DATASETS
from dfkdbench.descriptors import DatasetSpec

FIRST_FILE = {
    "mnist": "MNIST/raw/t10k-images-idx3-ubyte",
    "fashion_mnist": "FashionMNIST/raw/t10k-images-idx3-ubyte",
    "cifar10": "cifar-10-batches-py/test_batch",
    "cifar100": "cifar-100-python/test",
    "tiny_imagenet_20": "tiny-imagenet-20/val",
}
COUNTS = {
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
}
SPECS = {spec.name: spec for spec in DATASETS}
TEST_FINGERPRINTS = {
    "mnist": "5939a710cd93214650e86ade16f9a6ee8cca5c0b5e989b559b5fefaadab8dce8",
    "fashion_mnist": "7236390559c2fb08039589588e4a9acf17b8de18197ec398f677832b43d37421",
    "cifar10": "870fee26b5e659d8ccf96dbafd42a10bddda4e828918d3b2c34d8caa0b1cf3e4",
    "cifar100": "5c24726a318b2959725828e28bc1eee75c28391e09c33ae137d19fbce6ea762f",
}


def find_root(name: str) -> Path:
    root = os.environ.get("DFKDBENCH_DATA_ROOT")
    if not root:
        pytest.skip("DFKDBENCH_DATA_ROOT is not set")
    if not (Path(root) / FIRST_FILE[name]).exists():
        pytest.skip(f"DFKDBENCH_DATA_ROOT holds no {FIRST_FILE[name]}")
    return Path(root)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def load(spec: DatasetSpec, root: Path, train: bool) -> ImageSet:
    module, _, attribute = spec.target.partition(":")
    images: ImageSet = getattr(importlib.import_module(module), attribute)(root, train)
    return images


@pytest.mark.parametrize("name", FIRST_FILE)
def test_real_files__test_part_fits_its_spec(name: str) -> None:
    spec = SPECS[name]
    images = load(spec, find_root(name), train=False)
    assert images.shape == (spec.channels, spec.image_size, spec.image_size)
    assert images.classes == spec.classes
    assert len(images) == COUNTS.get(name, (0, len(images)))[1]
    labels = torch.cat([labels for _, labels in make_resident(images, "cpu").batches(1000)])
    counts = torch.bincount(labels, minlength=spec.classes)
    assert counts.min() > 0
    if name != "mnist":
        assert counts.min() == counts.max()


@pytest.mark.parametrize("name", TEST_FINGERPRINTS)
def test_real_files__fingerprint_is_pinned(name: str) -> None:
    assert load(SPECS[name], find_root(name), train=False).fingerprint() == TEST_FINGERPRINTS[name]


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_real_files__test_part_loads_in_two_seconds(name: str) -> None:
    root = find_root(name)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        load(SPECS[name], root, train=False)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 2


@pytest.mark.parametrize(
    ("name", "expected_std"), [("cifar10", (0.2470, 0.2435, 0.2616)), ("cifar100", SPECS["cifar100"].std)]
)
def test_real_files__colour_constants_are_those_of_the_training_pixels(
    name: str, expected_std: tuple[float, ...]
) -> None:
    images = load(SPECS[name], find_root(name), train=True)
    assert isinstance(images, TensorImages)
    counts = torch.stack([torch.bincount(images.images[:, channel].flatten(), minlength=256) for channel in range(3)])
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = (counts * values).sum(1) / counts.sum(1)
    std = ((counts * values**2).sum(1) / counts.sum(1) - mean**2).sqrt()
    torch.testing.assert_close(mean, torch.tensor(SPECS[name].mean, dtype=torch.float64), rtol=0, atol=6e-5)
    torch.testing.assert_close(std, torch.tensor(expected_std, dtype=torch.float64), rtol=0, atol=6e-5)


@pytest.mark.parametrize(("name", "reader"), [("mnist", reference.MNIST), ("fashion_mnist", reference.FashionMNIST)])
def test_real_files__grey_constants_are_those_of_the_published_pixels(name: str, reader: type) -> None:
    pixels = reader(find_root(name), train=True).data
    counts = torch.bincount(pixels.flatten(), minlength=256)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = (counts * values).sum() / counts.sum()
    std = ((counts * values**2).sum() / counts.sum() - mean**2).sqrt()
    assert float(mean) == pytest.approx(SPECS[name].mean[0], abs=6e-5)
    assert float(std) == pytest.approx(SPECS[name].std[0], abs=6e-5)


def test_real_files__cifar_images_are_the_readers() -> None:
    root = find_root("cifar10")
    source = reference.CIFAR10(str(root), train=False)
    images = vision.load_cifar10(root, False)
    for index in (0, 4321, 9999):
        assert torch.equal(images.images[index].permute(1, 2, 0), torch.from_numpy(source.data[index]))
        assert images.labels[index] == source.targets[index]


def test_real_files__folder_labels_are_the_class_folders() -> None:
    images = folders.load_tiny_imagenet_20(find_root("tiny_imagenet_20"), True)
    names = sorted({sample.file.split("/")[0] for sample in images.samples})
    assert len(names) == 20
    assert all(names[sample.label] == sample.file.split("/")[0] for sample in images.samples)

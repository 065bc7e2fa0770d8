"""Loaders on small files of the true formats, made here. Real files are in test_real_files.py."""

from __future__ import annotations

import bz2
import hashlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets as reference

from dfkdbench.datasets import vision
from dfkdbench.datasets.images import TensorImages, resize_square
from dfkdbench.errors import DataError

TRAIN_COUNT, TEST_COUNT = 12, 7


def write_idx(path: Path, array: np.ndarray) -> None:
    """Magic (two zeros, type 8 = uint8, dimensions), big-endian sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def make_grey(count: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, side, side), dtype=np.uint8), rng.integers(0, 10, count)


def make_idx_set(root: Path, class_name: str) -> dict[bool, tuple[np.ndarray, np.ndarray]]:
    parts = {True: make_grey(TRAIN_COUNT, 28, 1), False: make_grey(TEST_COUNT, 28, 2)}
    for train, (images, labels) in parts.items():
        prefix = root / class_name / "raw" / ("train" if train else "t10k")
        write_idx(prefix.with_name(f"{prefix.name}-images-idx3-ubyte"), images)
        write_idx(prefix.with_name(f"{prefix.name}-labels-idx1-ubyte"), labels)
    return parts


def make_usps(root: Path, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """libsvm text, bz2: labels 1..10, 256 features `index:value` with values from -1 to about 1.

    torchvision takes the whole part of a pixel; a quarter level is added so that rounding takes none away.
    """
    images, labels = make_grey(TRAIN_COUNT if train else TEST_COUNT, 16, 5 + train)
    lines = [
        f"{label + 1} "
        + " ".join(f"{index}:{(value + 0.25) / 255 * 2 - 1:.6f}" for index, value in enumerate(image.flat, 1))
        for image, label in zip(images, labels, strict=True)
    ]
    (root / ("usps.bz2" if train else "usps.t.bz2")).write_bytes(bz2.compress(" \n".join(lines).encode()))
    return images, labels


def make_svhn(root: Path, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """MATLAB file: X (32, 32, 3, N) uint8, y (N, 1) with 10 for the digit 0."""
    count = TRAIN_COUNT if train else TEST_COUNT
    rng = np.random.default_rng(7 + train)
    images = rng.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
    labels = np.arange(count) % 10
    scipy.io.savemat(
        root / f"{'train' if train else 'test'}_32x32.mat",
        {"X": images, "y": np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)},
        do_compression=True,
    )
    return images.transpose(3, 2, 0, 1), labels


def accept_made_svhn(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the checksums of the made files in the place of the published ones, so that the check itself stays."""
    known = {
        split: [url, file, hashlib.md5((root / file).read_bytes()).hexdigest() if (root / file).exists() else md5]
        for split, (url, file, md5) in reference.SVHN.split_list.items()
    }
    monkeypatch.setattr(reference.SVHN, "split_list", known)


IDX_SETS = [
    (vision.load_kmnist, "KMNIST"),
    (vision.load_mnist, "MNIST"),
    (vision.load_fashion_mnist, "FashionMNIST"),
]
Loader = Callable[[Path, bool], TensorImages]


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("load", "class_name"), IDX_SETS)
def test_idx_sets__hold_the_written_images(tmp_path: Path, load: Loader, class_name: str, train: bool) -> None:
    images, labels = make_idx_set(tmp_path, class_name)[train]
    loaded = load(tmp_path, train)
    assert (len(loaded), loaded.shape, loaded.classes) == (len(labels), (1, 32, 32), 10)
    assert loaded.labels.tolist() == labels.tolist()
    assert torch.equal(loaded.images, resize_square(torch.from_numpy(images)[:, None], 32))


@pytest.mark.parametrize("part", ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("keep", [0, 3, 14, 0.5])
def test_idx_sets__truncated_file_is_a_data_error(tmp_path: Path, part: str, keep: float) -> None:
    make_idx_set(tmp_path, "KMNIST")
    path = tmp_path / "KMNIST" / "raw" / part
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if 0 < keep < 1 else int(keep)])
    with pytest.raises(DataError, match="'kmnist'"):
        vision.load_kmnist(tmp_path, False)


def test_idx_sets__counts_and_labels_must_fit(tmp_path: Path) -> None:
    make_idx_set(tmp_path, "KMNIST")
    path = tmp_path / "KMNIST" / "raw" / "t10k-labels-idx1-ubyte"
    write_idx(path, np.zeros(TEST_COUNT - 1))
    with pytest.raises(DataError, match=f"'kmnist': {TEST_COUNT} images but labels of shape"):
        vision.load_kmnist(tmp_path, False)
    write_idx(path, np.full(TEST_COUNT, 10))
    with pytest.raises(DataError, match="labels run from 10 to 10, expected 0 to 9"):
        vision.load_kmnist(tmp_path, False)


@pytest.mark.parametrize("train", [True, False])
def test_usps__holds_the_written_images(tmp_path: Path, train: bool) -> None:
    images, labels = make_usps(tmp_path, train)
    loaded = vision.load_usps(tmp_path, train)
    assert (len(loaded), loaded.shape) == (len(labels), (1, 32, 32))
    assert loaded.labels.tolist() == labels.tolist()
    assert torch.equal(loaded.images, resize_square(torch.from_numpy(images)[:, None], 32))


@pytest.mark.parametrize("damage", ["truncated", "not bz2", "missing feature"])
def test_usps__damaged_file_is_a_data_error(tmp_path: Path, damage: str) -> None:
    make_usps(tmp_path, False)
    path = tmp_path / "usps.t.bz2"
    content = path.read_bytes()
    text = bz2.decompress(content)
    damaged = {
        "truncated": content[: len(content) // 2],
        "not bz2": b"1 1:0.5 2:0.5",
        "missing feature": bz2.compress(text[: text.rindex(b"256:")]),
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(DataError, match=r"'usps': the files in .* are damaged"):
        vision.load_usps(tmp_path, False)


@pytest.mark.parametrize("train", [True, False])
def test_svhn__holds_the_written_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: bool) -> None:
    images, labels = make_svhn(tmp_path, train)
    accept_made_svhn(tmp_path, monkeypatch)
    loaded = vision.load_svhn(tmp_path, train)
    assert (len(loaded), loaded.shape, loaded.classes) == (len(labels), (3, 32, 32), 10)
    assert loaded.labels.tolist() == labels.tolist()
    assert np.array_equal(loaded.images.numpy(), images)


def test_svhn__truncated_file_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_svhn(tmp_path, False)
    accept_made_svhn(tmp_path, monkeypatch)
    path = tmp_path / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"'svhn': the files .* are damaged or not the published ones"):
        vision.load_svhn(tmp_path, False)


def test_svhn__other_files_than_the_published_are_refused(tmp_path: Path) -> None:
    make_svhn(tmp_path, False)
    with pytest.raises(DataError, match="not the published ones"):
        vision.load_svhn(tmp_path, False)


@pytest.mark.parametrize(("load", "name"), [(vision.load_cifar10, "cifar10"), (vision.load_cifar100, "cifar100")])
def test_cifar__unpublished_pickle_is_refused_unread(tmp_path: Path, load: Loader, name: str) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
            return Path.touch, (tmp_path / "unpickled",)

    for file in vision.CIFAR10_FILES if name == "cifar10" else vision.CIFAR100_FILES:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match=f"'{name}': .* damaged or not the published ones"):
        load(tmp_path, False)
    assert not (tmp_path / "unpickled").exists()


def test_cifar__channels_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    images = rng.integers(0, 256, (5, 3072), dtype=np.uint8)
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(label) for label in range(100)]}))
    for part in ("train", "test"):
        (folder / part).write_bytes(pickle.dumps({"data": images, "fine_labels": [0, 99, 5, 50, 7]}))
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setattr(reference.CIFAR100, "train_list", [["train", md5["train"]]])
    monkeypatch.setattr(reference.CIFAR100, "test_list", [["test", md5["test"]]])
    monkeypatch.setattr(reference.CIFAR100, "meta", {**reference.CIFAR100.meta, "md5": md5["meta"]})
    loaded = vision.load_cifar100(tmp_path, False)
    assert np.array_equal(loaded.images.numpy(), images.reshape(5, 3, 32, 32))
    assert loaded.labels.tolist() == [0, 99, 5, 50, 7]
    (folder / "meta").unlink()
    with pytest.raises(DataError, match=r"missing: cifar-100-python/meta\."):
        vision.load_cifar100(tmp_path, False)


ALL_LOADERS = [
    (vision.load_mnist, "MNIST/raw/t10k-images-idx3-ubyte"),
    (vision.load_fashion_mnist, "FashionMNIST/raw/t10k-images-idx3-ubyte"),
    (vision.load_kmnist, "KMNIST/raw/t10k-images-idx3-ubyte"),
    (vision.load_usps, "usps.t.bz2"),
    (vision.load_svhn, "test_32x32.mat"),
    (vision.load_cifar10, "cifar-10-batches-py/test_batch"),
    (vision.load_cifar100, "cifar-100-python/test"),
]


@pytest.mark.parametrize(("load", "file"), ALL_LOADERS)
def test_loaders__missing_files_say_what_where_and_how(tmp_path: Path, load: Loader, file: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, False)
    message = caught.value.message
    assert f"looked in '{tmp_path}'" in message
    assert file in message
    assert "--data-root DIR" in message
    assert "--download" in message


def test_loaders__only_absent_files_are_called_missing(tmp_path: Path) -> None:
    make_idx_set(tmp_path, "KMNIST")
    (tmp_path / "KMNIST" / "raw" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"missing: KMNIST/raw/train-labels-idx1-ubyte\."):
        vision.load_kmnist(tmp_path, False)


def test_loaders__failed_download_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr("torchvision.datasets.usps.download_url", refuse)
    with pytest.raises(DataError, match=r"could not fetch usps\.t\.bz2 .*network is unreachable.*--data-root"):
        vision.load_usps(tmp_path, False, download=True)


def test_loaders__download_reaches_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, root: str | Path, filename: str, md5: str) -> None:
        make_usps(Path(root), train=False)

    monkeypatch.setattr("torchvision.datasets.usps.download_url", fetch)
    assert len(vision.load_usps(tmp_path, False, download=True)) == TEST_COUNT

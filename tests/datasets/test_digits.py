from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from dfkdbench.datasets import specs
from dfkdbench.datasets.digits import load_digits

ASSET_SHA256 = {
    "train_images": "cf29299cae72ddc71774d4b125cd2475d5271b682243746a0a82f820d8ac8cc4",
    "train_labels": "90987c2cc594a7778044c5d71f91cf834123d91ae1fa66781624850348835f78",
    "test_images": "06a2cf49a37ce30976db83b3134d2eadc1527ddf887d90c665120a87df1f7dc1",
    "test_labels": "f029e39a6c7b1698e1b719159ef6aee4f66d689cd09dc0e2776dff254e0725fd",
}


def read_asset() -> dict[str, np.ndarray]:
    asset = resources.files("dfkdbench").joinpath("assets", "digits.npz")
    with asset.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_asset__holds_the_published_arrays() -> None:
    arrays = read_asset()
    assert {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()} == ASSET_SHA256
    assert all(array.dtype == np.uint8 for array in arrays.values())
    assert arrays["train_images"].shape == (1297, 8, 8)
    assert arrays["test_images"].shape == (500, 8, 8)


def test_asset__is_small_and_comes_with_its_licence() -> None:
    assets = Path(str(resources.files("dfkdbench").joinpath("assets")))
    assert (assets / "digits.npz").stat().st_size < 100_000
    licence = (assets / "digits-LICENSE.md").read_text()
    assert "CC BY 4.0" in licence
    assert "Alpaydin" in licence


def test_asset__split_is_stratified_and_disjoint() -> None:
    arrays = read_asset()
    test_counts = np.bincount(arrays["test_labels"], minlength=10)
    counts = test_counts + np.bincount(arrays["train_labels"], minlength=10)
    assert np.abs(test_counts - 500 * counts / 1797).max() < 1
    seen = {image.tobytes() for image in arrays["train_images"]}
    assert sum(image.tobytes() in seen for image in arrays["test_images"]) == 0


@pytest.mark.parametrize(("train", "count"), [(True, 1297), (False, 500)])
def test_load_digits__enlarges_the_scans(train: bool, count: int) -> None:
    images = load_digits(None, train)
    assert (len(images), images.shape, images.classes) == (count, (1, 16, 16), 10)
    levels = read_asset()["train_images" if train else "test_images"].astype(np.float64) * 255 / 16
    padded = np.pad(levels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = np.stack((0.25 * padded[:, :-2] + 0.75 * padded[:, 1:-1], 0.75 * padded[:, 1:-1] + 0.25 * padded[:, 2:]), 2)
    rows = rows.reshape(count, 16, 10)
    both = np.stack((0.25 * rows[..., :-2] + 0.75 * rows[..., 1:-1], 0.75 * rows[..., 1:-1] + 0.25 * rows[..., 2:]), -1)
    assert np.array_equal(images.images[:, 0].numpy(), np.rint(both.reshape(count, 16, 16)).astype(np.uint8))
    assert images.images.max() == 255
    assert images.images.min() == 0


def test_load_digits__fingerprint_is_pinned() -> None:
    assert load_digits(None, train=False).fingerprint() == (
        "71ac4802b08432a059f670dfbdf5ff78768cd407db9336d23be60f230f0fb687"
    )


def test_digits_spec__constants_are_those_of_the_training_images() -> None:
    pixels = load_digits(None, train=True).images.to(torch.float64) / 255
    assert (round(float(pixels.mean()), 4),) == specs.DIGITS.mean
    assert (round(float(pixels.std(correction=0)), 4),) == specs.DIGITS.std

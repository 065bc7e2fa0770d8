from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from dfkdbench.datasets.images import TensorImages, make_resident, normalise, resize_square
from dfkdbench.errors import DataError


def make_set(count: int = 7, classes: int = 3, seed: int = 0) -> TensorImages:
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 2, 4, 4), dtype=torch.uint8, generator=rng)
    return TensorImages(images, torch.arange(count) % classes, classes)


def test_tensor_images__batches_give_everything_in_order() -> None:
    images = make_set(7)
    batches = list(images.batches(3))
    assert [len(labels) for _, labels in batches] == [3, 3, 1]
    assert torch.equal(torch.cat([pixels for pixels, _ in batches]), images.images)
    assert torch.equal(torch.cat([labels for _, labels in batches]), torch.arange(7) % 3)
    assert (len(images), images.shape, images.classes) == (7, (2, 4, 4), 3)
    assert batches[0][0].dtype == torch.uint8
    assert batches[0][1].dtype == torch.int64


def test_tensor_images__take_follows_the_indices() -> None:
    images = make_set(7)
    pixels, labels = images.take(torch.tensor([5, 0, 5]))
    assert torch.equal(pixels, images.images[[5, 0, 5]])
    assert labels.tolist() == [2, 0, 2]


def test_fingerprint__is_sha256_of_header_pixels_and_labels() -> None:
    images = make_set(5)
    plain = hashlib.sha256(b"images (5, 2, 4, 4) classes 3")
    plain.update(images.images.numpy().tobytes() + images.labels.numpy().astype("<i8").tobytes())
    assert images.fingerprint() == plain.hexdigest()


@pytest.mark.parametrize("change", ["pixel", "label", "order", "classes"])
def test_fingerprint__sees_every_change(change: str) -> None:
    original = make_set(6)
    pixels, labels, classes = original.images.clone(), original.labels.clone(), original.classes
    if change == "pixel":
        pixels[5, 1, 3, 3] ^= 1
    elif change == "label":
        labels[5] = 0
    elif change == "order":
        pixels, labels = pixels.flip(0), labels.flip(0)
    else:
        classes = 4
    assert TensorImages(pixels, labels, classes).fingerprint() != original.fingerprint()


def test_fingerprint__does_not_depend_on_memory_layout() -> None:
    original = make_set(6)
    strided = original.images.to(memory_format=torch.channels_last)
    assert TensorImages(strided, original.labels.to(torch.uint8), 3).fingerprint() == original.fingerprint()


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (torch.zeros(2, 1, 4, 4), [0, 1], "uint8"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), [0, 1], r"\(N, C, H, W\)"),
        (torch.zeros(2, 1, 4, 5, dtype=torch.uint8), [0, 1], "square"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), [0], "2 images but labels"),
        (torch.zeros(0, 1, 4, 4, dtype=torch.uint8), [], "at least one image"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), [0, 3], "from 0 to 3, expected 0 to 2"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), [-1, 2], "from -1 to 2"),
    ],
)
def test_tensor_images__refuses_what_does_not_fit(pixels: torch.Tensor, labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TensorImages(pixels, torch.tensor(labels, dtype=torch.int64), 3, name="made")


def test_tensor_images__refuses_an_empty_batch() -> None:
    with pytest.raises(DataError, match="batch of 0 images"):
        next(make_set().batches(0))


def test_normalise__matches_float64_reference() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 2, 8, 16)
    mean, std = (0.4914, 0.1307), (0.2023, 0.3081)
    expected = pixels.double() / 255
    for channel in range(2):
        expected[:, channel] = (expected[:, channel] - mean[channel]) / std[channel]
    result = normalise(pixels, mean, std)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("mean", "std"), [((0.5,), (0.5,)), ((0.5, 0.5), (0.5,)), ((0.5, 0.5), (0.5, 0.0))])
def test_normalise__refuses_constants_that_do_not_fit(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="mean and a positive std per channel"):
        normalise(torch.zeros(1, 2, 4, 4, dtype=torch.uint8), mean, std)


def bilinear_weights(source: int, target: int) -> np.ndarray:
    """Rows of interpolation weights for half-pixel centres, edges clamped; float64."""
    weights = np.zeros((target, source))
    for row in range(target):
        centre = (row + 0.5) * source / target - 0.5
        low = int(np.floor(centre))
        weights[row, max(low, 0)] += 1 - (centre - low)
        weights[row, min(low + 1, source - 1)] += centre - low
    return weights


@pytest.mark.parametrize(("source", "target"), [(8, 16), (16, 32), (28, 32)])
def test_resize_square__enlarging_is_exact(source: int, target: int) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (25, 1, source, source), dtype=np.uint8)
    weights = bilinear_weights(source, target)
    expected = np.rint(weights @ pixels[:, 0].astype(np.float64) @ weights.T).astype(np.uint8)
    resized = resize_square(torch.from_numpy(pixels), target, chunk=10)
    assert np.array_equal(resized[:, 0].numpy(), expected)


def test_resize_square__shrinking_is_antialiased_like_pil() -> None:
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (4, 1, 64, 64), dtype=np.uint8)
    resized = resize_square(torch.from_numpy(pixels), 16)
    for image, result in zip(pixels[:, 0], resized[:, 0].numpy(), strict=True):
        plain = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BILINEAR))
        assert np.abs(plain.astype(int) - result.astype(int)).max() <= 1


def test_resize_square__leaves_the_right_size_alone() -> None:
    pixels = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    assert resize_square(pixels, 8) is pixels


def test_make_resident__moves_tensors_and_keeps_the_fingerprint() -> None:
    images = make_set()
    moved = make_resident(images, "cpu")
    assert isinstance(moved, TensorImages)
    assert moved.fingerprint() == images.fingerprint()
    assert torch.equal(moved.images, images.images)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_make_resident__lies_on_the_device() -> None:
    images = make_set()
    moved = make_resident(images, "cuda")
    pixels, labels = next(moved.batches(4))
    assert pixels.is_cuda
    assert labels.is_cuda
    assert moved.fingerprint() == images.fingerprint()

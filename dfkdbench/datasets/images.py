"""Labelled images held as one uint8 tensor, and what every image set can do."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from dfkdbench.errors import DataError

RESIDENT_BYTES = 2 * 1024**3
"""Image sets up to this size are decoded once and kept on the device by `make_resident`."""


class ImageSet(Protocol):
    """Images (uint8) with class labels (int64), in a fixed order."""

    @property
    def classes(self) -> int:
        """How many classes there are; labels are 0 .. classes - 1."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, size, size) of every image."""
        ...

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The images (B, C, H, W) uint8 and labels (B,) int64 at the indices (B,), in that order."""
        ...

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order, as images (B, C, H, W) uint8 and labels (B,) int64; the last batch may be smaller."""
        ...

    def fingerprint(self) -> str:
        """sha256 over what the set holds, equal on every machine; part of the run id."""
        ...


@runtime_checkable
class ReadsAhead(Protocol):
    """An image set in files that reads ahead in any order."""

    def drawn(self, indices: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """What `take` gives for each of the index tensors."""
        ...


class TensorImages:
    """An image set held in memory as two tensors, on the CPU or on a device.

    Args:
        images: (N, C, H, W) uint8, H = W.
        labels: (N,) integers in 0 .. classes - 1.
        classes: Number of classes.
        name: Name of the data set, for error messages.
        fingerprint: Fingerprint of the set these images were decoded from, where that is not this one.

    Raises:
        DataError: Shapes, types, counts or labels that don't fit together; no image at all.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, classes: int, name: str = "images", fingerprint: str | None = None
    ) -> None:
        self.images = images.contiguous()
        self.labels = labels.to(torch.int64).contiguous()
        self.name = name
        self._classes = classes
        self._fingerprint = fingerprint
        self._check()

    def _check(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
            raise DataError(
                f"Data set '{self.name}': expected square uint8 images of shape (N, C, H, W), "
                f"found {images.dtype} of shape {tuple(images.shape)}."
            )
        if labels.shape != (len(images),) or not len(images):
            raise DataError(
                f"Data set '{self.name}': {len(images)} images but labels of shape {tuple(labels.shape)}; "
                "there must be one label for each image, and at least one image."
            )
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= self._classes:
            raise DataError(
                f"Data set '{self.name}': labels run from {lowest} to {highest}, expected 0 to {self._classes - 1}."
            )

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self._classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, size, size)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels at the indices, on the device of this set."""
        indices = indices.to(self.images.device)
        return self.images[indices], self.labels[indices]

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Views of the tensors, in order; nothing is copied."""
        for start in range(0, len(self), check_batch_size(size)):
            yield self.images[start : start + size], self.labels[start : start + size]

    def fingerprint(self) -> str:
        """sha256 over shape, pixels and labels in order, little-endian."""
        if self._fingerprint is None:
            header = f"images {tuple(self.images.shape)} classes {self.classes}"
            digest = hashlib.sha256(header.encode())
            digest.update(self.images.cpu().numpy().data)
            digest.update(self.labels.cpu().numpy().astype("<i8").data)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def to(self, device: torch.device | str) -> TensorImages:
        """The same set on another device; its fingerprint does not change."""
        images, labels = self.images.to(device), self.labels.to(device)
        return TensorImages(images, labels, self.classes, self.name, self._fingerprint)


def check_batch_size(size: int) -> int:
    """The size itself.

    Raises:
        DataError: A size below one.
    """
    if size < 1:
        raise DataError(f"A batch of {size} images was asked for; expected 1 or more.")
    return size


def make_resident(images: ImageSet, device: torch.device | str, limit_bytes: int = RESIDENT_BYTES) -> ImageSet:
    """The set as one uint8 tensor on the device, decoded once; unchanged where it is larger than the limit.

    The fingerprint stays that of the given set. Call it once before a set is evaluated many times.
    """
    if isinstance(images, TensorImages):
        return images.to(device)
    if len(images) * math.prod(images.shape) > limit_bytes:
        return images
    pixels = torch.empty((len(images), *images.shape), dtype=torch.uint8, device=device)
    labels = torch.empty(len(images), dtype=torch.int64, device=device)
    start = 0
    for some_images, some_labels in images.batches(256):
        stop = start + len(some_labels)
        pixels[start:stop], labels[start:stop] = some_images.to(device), some_labels.to(device)
        start = stop
    return TensorImages(pixels, labels, images.classes, fingerprint=images.fingerprint())


def drawn_batches(images: ImageSet, indices: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """What `images.take` gives for each of the index tensors (B,), in their order."""
    return images.drawn(indices) if isinstance(images, ReadsAhead) else map(images.take, indices)


def channel_scale(
    mean: Sequence[float], std: Sequence[float], channels: int, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Factor and offset, each (1, C, 1, 1) float32, that take pixels 0..255 to normalised values.

    Raises:
        DataError: Not one mean and one positive std for each channel.
    """
    if len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise DataError(
            f"Normalisation of {channels}-channel images needs a mean and a positive std per channel; "
            f"given mean {tuple(mean)} and std {tuple(std)}."
        )
    means, deviations = torch.tensor([mean, std], dtype=torch.float64)
    factor, offset = 1 / (255 * deviations), -means / deviations
    return factor.float().view(1, -1, 1, 1).to(device), offset.float().view(1, -1, 1, 1).to(device)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(images / 255 - mean) / std per channel: uint8 (B, C, H, W) to float32.

    Raises:
        DataError: Not one mean and one positive std for each channel.
    """
    factor, offset = channel_scale(mean, std, images.shape[1], images.device)
    return torch.addcmul(offset, images.float(), factor)


def resize_square(images: Tensor, size: int, chunk: int = 10_000) -> Tensor:
    """Bilinear resize, antialiased, of many images at once: (N, C, H, W) uint8 to (N, C, size, size) uint8.

    Computed in float32 and rounded half to even. Enlarging 8 -> 16, 16 -> 32 and 28 -> 32 has weights
    that are multiples of 1/16, so every intermediate value is exact and all machines get the same pixels.

    Args:
        chunk: Images converted to float32 at a time, which bounds the memory.
    """
    if images.shape[-2:] == (size, size):
        return images
    resized = torch.empty((*images.shape[:2], size, size), dtype=torch.uint8)
    for start in range(0, len(images), chunk):
        pixels = resize_pixels(images[start : start + chunk].float(), size)
        resized[start : start + chunk] = to_uint8(pixels)
    return resized


def resize_pixels(pixels: Tensor, size: int) -> Tensor:
    """Bilinear resize, antialiased, of float images (N, C, H, W) to (N, C, size, size)."""
    return torch.nn.functional.interpolate(
        pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )


def to_uint8(pixels: Tensor) -> Tensor:
    """Pixels 0..255 as uint8, rounded half to even."""
    return pixels.round().clamp(0, 255).to(torch.uint8)

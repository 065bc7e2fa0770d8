"""Images read from a class-per-folder tree, in bounded memory."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dfkdbench.datasets.images import check_batch_size
from dfkdbench.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
READ_BYTES = 1 << 20
DECODERS = min(8, os.cpu_count() or 1)


class Sample(NamedTuple):
    """One image file: its label, and its path relative to the root of the set."""

    label: int
    file: str

    @property
    def order(self) -> tuple[int, str, str]:
        """Key of the canonical order, the same for every folder layout of a data set."""
        return self.label, self.file.rsplit("/", 1)[-1], self.file


def class_folders(root: Path) -> list[str]:
    """Sorted names of the folders in `root`; hidden ones do not count.

    Raises:
        DataError: No such folder, or no folder in it.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder '{root}'; expected one that holds a folder for each class.")
    names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise DataError(f"The folder '{root}' holds no class folders; expected one for each class.")
    return names


def list_samples(root: Path, folder: str, label: int) -> list[Sample]:
    """The JPEG and PNG files under `root / folder`, at any depth.

    Raises:
        DataError: No image there.
    """
    samples = [
        Sample(label, Path(where, name).relative_to(root).as_posix())
        for where, _, names in os.walk(root / folder)
        for name in names
        if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")  # noqa: PTH122
    ]
    if not samples:
        raise DataError(f"The class folder '{root / folder}' holds no JPEG or PNG image.")
    return samples


def read_image(path: Path, shorter_side: int, size: int) -> Tensor:
    """One image as (3, size, size) uint8: shorter side resized (PIL bilinear, antialiased), then center crop.

    Raises:
        DataError: A file that is missing, truncated or no image.
    """
    try:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"Could not read the image '{path}': {error}. Replace the file and run again.") from error
    return cut_square(rgb, shorter_side, size)


def cut_square(image: Image.Image, shorter_side: int, size: int) -> Tensor:
    """An RGB or grey image as (C, size, size) uint8: shorter side resized, then center crop, as `read_image` does."""
    short = min(image.size)
    if short != shorter_side:
        width, height = (shorter_side * side // short for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (round((side - size) / 2) for side in image.size)
    pixels = np.atleast_3d(np.array(image.crop((left, top, left + size, top + size))))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


class FolderImages:
    """An image set that is read from files whenever it is asked for.

    Files are decoded by a few threads, at most two batches ahead of the reader.

    Args:
        root: Folder that the samples' paths start from; without `samples`, one folder per class.
        size: Side of the images in pixels, after the crop.
        shorter_side: Length the shorter side is resized to before the crop; `size` where not given.
        samples: The files with their labels; all images under `root` where not given.

    Raises:
        DataError: An empty folder or class, or a crop larger than the resized image.
    """

    def __init__(
        self, root: Path, size: int, shorter_side: int | None = None, samples: Sequence[Sample] | None = None
    ) -> None:
        if samples is None:
            names = class_folders(root)
            samples = [sample for label, name in enumerate(names) for sample in list_samples(root, name, label)]
        self.root = root
        self.size = size
        self.shorter_side = size if shorter_side is None else shorter_side
        self.samples = sorted(samples, key=lambda sample: sample.order)
        if not self.samples:
            raise DataError(f"There are no images for this set in '{root}'.")
        if self.shorter_side < size:
            raise DataError(f"A crop of {size} pixels does not fit a shorter side of {self.shorter_side} pixels.")
        self._classes = max(sample.label for sample in self.samples) + 1
        self._fingerprint: str | None = None

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self._classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return 3, self.size, self.size

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels at the indices, decoded now, on the CPU."""
        with ThreadPoolExecutor(DECODERS) as pool:
            return self._collect(self._submit(pool, indices.tolist()))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order, on the CPU."""
        check_batch_size(size)
        ahead: deque[list[tuple[Future[Tensor], int]]] = deque()
        pool = ThreadPoolExecutor(DECODERS)
        try:
            for start in range(0, len(self), size):
                ahead.append(self._submit(pool, range(start, min(start + size, len(self)))))
                if len(ahead) == 2:
                    yield self._collect(ahead.popleft())
            while ahead:
                yield self._collect(ahead.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, indices: Sequence[int]) -> list[tuple[Future[Tensor], int]]:
        chosen = [self.samples[index] for index in indices]
        return [
            (pool.submit(read_image, self.root / sample.file, self.shorter_side, self.size), sample.label)
            for sample in chosen
        ]

    @staticmethod
    def _collect(submitted: list[tuple[Future[Tensor], int]]) -> tuple[Tensor, Tensor]:
        images = torch.stack([future.result() for future, _ in submitted])
        return images, torch.tensor([label for _, label in submitted], dtype=torch.int64)

    def fingerprint(self) -> str:
        """sha256 over size in pixels and, file by file in canonical order, label, file name, length and contents.

        Parent folders don't enter, so both published layouts of a data set have the same fingerprint.

        Raises:
            DataError: A file that can't be read.
        """
        if self._fingerprint is None:
            digest = hashlib.sha256(f"files {len(self)} size {self.size} shorter side {self.shorter_side}".encode())
            for sample in self.samples:
                label, name, _ = sample.order
                path = self.root / sample.file
                try:
                    digest.update(f"\0{label}\0{name}\0{path.stat().st_size}\0".encode())
                    with path.open("rb") as file:
                        while block := file.read(READ_BYTES):
                            digest.update(block)
                except OSError as error:
                    raise DataError(f"Could not read the image '{path}': {error}. Replace it and run again.") from error
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

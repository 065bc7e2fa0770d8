"""Images read from a class-per-folder tree, in bounded memory."""

from __future__ import annotations

import hashlib
import math
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from dfkdbench.datasets.file_index import FileIndex, Sample, class_folders, list_samples
from dfkdbench.datasets.images import RESIDENT_BYTES, check_batch_size
from dfkdbench.datasets.remembered import Manifest, Remembered, read_and_keep, recall, take_manifest
from dfkdbench.devices import available_cores
from dfkdbench.errors import DataError, RunError
from dfkdbench.sandbox import die_with_parent

READ_BYTES = 1 << 20

LOOKED_THROUGH = 32
"""Images in a batch that is decoded only to see whether it can be."""

WORKERS_FROM = 1_000
"""Smaller sets are decoded sooner than processes for them are started."""

MOST_WORKERS = 16

Decoded: TypeAlias = tuple[Tensor, Tensor] | str
"""Images (B, C, H, W) uint8 and labels (B,) int64, or why there are none."""


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
    """An image set that is read from files whenever it is asked for; what it holds is a `FileIndex`.

    Batches of sets from `WORKERS_FROM` images on are decoded by processes of their own, each at most two batches ahead
    of the reader, smaller ones in this process.

    Args:
        root: Folder that the samples' paths start from; without `samples`, one folder per class.
        size: Side of the images in pixels, after the crop.
        shorter_side: Length the shorter side is resized to before the crop; `size` where not given.
        samples: The files with their labels, as `FileIndex` takes them; all images under `root` where not given.
        workers: Processes that decode; None for `fitting_workers`, 0 to decode in this process.

    Raises:
        DataError: An empty folder or class, or a crop larger than the resized image.
    """

    def __init__(
        self,
        root: Path,
        size: int,
        shorter_side: int | None = None,
        samples: Iterable[Sample] | None = None,
        workers: int | None = None,
    ) -> None:
        if samples is None:
            names = class_folders(root)
            samples = (sample for label, name in enumerate(names) for sample in list_samples(root, name, label))
        self.root = root
        self.size = size
        self.shorter_side = size if shorter_side is None else shorter_side
        self.samples = FileIndex(samples)
        self.workers = fitting_workers(len(self.samples)) if workers is None else workers
        if not self.samples:
            raise DataError(f"There are no images for this set in '{root}'.")
        if self.shorter_side < size:
            raise DataError(f"A crop of {size} pixels does not fit a shorter side of {self.shorter_side} pixels.")
        self._fingerprint: str | None = None
        self._kept: Remembered | None = None

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.samples.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return 3, self.size, self.size

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels at the indices, decoded now, on the CPU."""
        return next(self._read([indices.tolist()], workers=0))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order, on the CPU."""
        check_batch_size(size)
        starts = range(0, len(self), size)
        return self._read((range(start, min(start + size, len(self))) for start in starts), self.workers)

    def drawn(self, indices: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """What `take` gives for each of the index tensors, decoded ahead as `batches` does."""
        return self._read((some.tolist() for some in indices), self.workers)

    def _read(self, batches: Iterable[Sequence[int]], workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        loader: DataLoader[Decoded] = DataLoader(
            _Decoding(self),
            batch_size=None,
            sampler=batches,
            num_workers=workers,
            collate_fn=_unchanged,
            worker_init_fn=_become_worker,
            generator=torch.Generator(),
            multiprocessing_context="fork" if workers else None,
        )
        try:
            with _keeping_signal_handler(signal.SIGCHLD):
                iterator = iter(loader)
            for decoded in iterator:
                if isinstance(decoded, str):
                    raise DataError(decoded)
                yield decoded
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise RunError(
                f"A process that decodes images of '{self.root}' was ended from outside: is memory short, or /dev/shm "
                f"too small? The same command goes on. {str(error).splitlines()[0]}"
            ) from None

    @property
    def is_large(self) -> bool:
        """Whether it stays in its files, as `dfkdbench.datasets.images.make_resident` leaves it."""
        return len(self) * math.prod(self.shape) > RESIDENT_BYTES

    @property
    def fingerprint_from(self) -> str:
        """Where the fingerprint is from, for the record."""
        if self._kept is None:
            return "every file, read for this command"
        return f"every file, read at {self._kept.read}; sizes and times of all files are those of then"

    def fingerprint(self) -> str:
        """sha256 over size in pixels and, file by file in canonical order, label, file name, length and contents.

        Parent folders don't enter, so both published layouts of a data set have the same fingerprint. That of a large
        set is kept (`dfkdbench.datasets.remembered`).

        Raises:
            DataError: A file that can't be read; of a large set, one that is no image as well.
        """
        if self._fingerprint is None:
            self._fingerprint = self._recall_or_read() if self.is_large else self._hash_files()
        return self._fingerprint

    def read_fingerprint(self) -> str:
        """The fingerprint from the files, whatever is kept of it.

        Raises:
            DataError: As `fingerprint`.
        """
        self._fingerprint, self._kept = self._hash_files(), None
        return self._fingerprint

    @property
    def fingerprint_is_kept(self) -> bool:
        """Whether `fingerprint` needs not read the files."""
        if self._fingerprint is None and self.is_large:
            self._kept = recall(self._take_manifest())
        return self._fingerprint is not None or self._kept is not None

    def _recall_or_read(self) -> str:
        manifest = self._take_manifest()
        self._kept = recall(manifest)
        if self._kept is not None:
            return self._kept.fingerprint
        return read_and_keep(manifest, self._take_manifest, self._read_all, len(self))

    def _read_all(self) -> str:
        """The fingerprint, once every file was found to be an image."""
        fingerprint = self._hash_files()
        for _ in self.batches(LOOKED_THROUGH):
            pass
        return fingerprint

    def _take_manifest(self) -> Manifest:
        described = f"size {self.size} shorter side {self.shorter_side}"
        return take_manifest(self.root, described, self.samples)

    def _hash_files(self) -> str:
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
        return digest.hexdigest()


class _Decoding(Dataset[Decoded]):
    """The set as a loader's processes see it: batches of indices in; images and labels out, or what is wrong."""

    def __init__(self, images: FolderImages) -> None:
        self._images = images

    def __getitem__(self, indices: Sequence[int]) -> Decoded:
        images = self._images
        chosen = [images.samples[index] for index in indices]
        pixels = torch.empty((len(chosen), *images.shape), dtype=torch.uint8)
        if get_worker_info() is not None:  # moved there only when it is sent, it would leave holes in the heap
            pixels.share_memory_()  # type: ignore[no-untyped-call]
        try:
            for place, sample in zip(pixels, chosen, strict=True):
                place.copy_(read_image(images.root / sample.file, images.shorter_side, images.size))
        except DataError as error:
            return error.message
        return pixels, torch.tensor([sample.label for sample in chosen], dtype=torch.int64)


def fitting_workers(count: int) -> int:
    """Processes that decode a set of so many images: one for each core, up to `MOST_WORKERS`; none for a small set."""
    return min(MOST_WORKERS, available_cores()) if count >= WORKERS_FROM else 0


def _unchanged(decoded: Any) -> Any:
    return decoded


@contextmanager
def _keeping_signal_handler(number: signal.Signals) -> Iterator[None]:
    """Puts the handler back: a loader's raises wherever this process happens to be when a worker ends.

    Without it the loader finds out when it waits for that worker, within seconds.
    """
    before = signal.getsignal(number)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, before or signal.SIG_DFL)


def _become_worker(_: int) -> None:
    """Ends with the process that started it, which alone answers to signals."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()

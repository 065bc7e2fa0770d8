"""Which image files a set has, in some 50 bytes a file: a million of them are no load."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, overload

from dfkdbench.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


class Sample(NamedTuple):
    """One image file: its label, and its path relative to the root of the set."""

    label: int
    file: str

    @property
    def order(self) -> tuple[int, str, str]:
        """Key of the canonical order, the same for every folder layout of a data set."""
        return self.label, self.file.rsplit("/", 1)[-1], self.file


class FileIndex(Sequence[Sample]):
    """Samples in their canonical order, made one by one when they are asked for.

    Kept are a label and an end of four and eight bytes for each, and the paths one behind the other.

    Args:
        samples: Class by class with rising labels, inside a class in any order. Only one class is held at a time.

    Raises:
        ValueError: Labels that don't rise.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._labels = array("i")
        self._ends = array("q", [0])
        self._paths = bytearray()
        for label, members in groupby(samples, key=lambda sample: sample.label):
            if self._labels and label <= self._labels[-1]:
                raise ValueError(f"samples of class {label} come behind those of class {self._labels[-1]}")
            for sample in sorted(members, key=lambda member: member.order):
                self._labels.append(label)
                self._paths += os.fsencode(sample.file)
                self._ends.append(len(self._paths))

    def __len__(self) -> int:
        return len(self._labels)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        return Sample(self._labels[at], os.fsdecode(bytes(self._paths[self._ends[at] : self._ends[at + 1]])))

    @property
    def classes(self) -> int:
        """The highest label and one; 0 where there is no sample."""
        return self._labels[-1] + 1 if self._labels else 0

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return len(self._paths) + self._labels.itemsize * len(self._labels) + self._ends.itemsize * len(self._ends)


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

"""Data sets kept as folders of JPEG or PNG files.

A loader is called as `load_x(root, train, download)`. None of these sets can be fetched automatically
(they ask for a log-in or come as archives of several GB); `download` is taken and changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from dfkdbench.datasets.file_index import Sample, class_folders, list_samples
from dfkdbench.datasets.folder_images import FolderImages
from dfkdbench.descriptors import DatasetSpec
from dfkdbench.errors import DataError

TEST_FRACTION = 0.2
SPLIT_SEED = "dfkdbench 2026"
BACKGROUND = "BACKGROUND_Google"

CALTECH_HOMES = (
    "caltech101/101_ObjectCategories",
    "caltech-101/101_ObjectCategories",
    "101_ObjectCategories",
    "caltech101",
    "caltech-101",
)
MINI_HOMES = ("mini-imagenet", "mini_imagenet", "miniImageNet")
TINY_HOMES = ("tiny-imagenet-200", "tiny-imagenet", "tiny_imagenet")
IMAGENET_HOMES = ("imagenet", "ImageNet", "ILSVRC2012")


def load_caltech101(root: Path, train: bool, download: bool = False) -> FolderImages:
    """Caltech-101 without its background class: 101 classes, (3, 128, 128).

    With `train` and `test` folders inside, those are the split. Else 20 % of every class are the test
    part, chosen by a hash of class and file name: the same on every machine, for every run.
    """
    home = _find_home("caltech101", root, CALTECH_HOMES)
    names = set(class_folders(home))
    if {"train", "test"} <= names:
        return _open_split("caltech101", home, "train", "test", train, classes=101, size=128)
    samples = _label_folders("caltech101", home, {name: name for name in names - {BACKGROUND}}, classes=101)
    return FolderImages(home, 128, samples=split_by_class(samples, train))


def load_mini_imagenet(root: Path, train: bool, download: bool = False) -> FolderImages:
    """mini-ImageNet: its 100 classes merged, (3, 84, 84).

    The published set is cut by class (64 train, 16 val, 20 test) for few-shot learning. Here the class
    folders of all parts are put together, and 20 % of every class are the test part. A single folder
    with all 100 class folders is taken as well.
    """
    home = _find_home("mini_imagenet", root, MINI_HOMES)
    parts = [name for name in ("train", "val", "test") if (home / name).is_dir()]
    folders: dict[str, str] = {}
    for part in parts:
        for name in class_folders(home / part):
            if name in folders:
                raise DataError(
                    f"Data set 'mini_imagenet': class '{name}' lies in '{home / folders[name]}' and in "
                    f"'{home / part / name}'; expected parts with different classes, as published."
                )
            folders[name] = f"{part}/{name}"
    if not parts:
        folders = {name: name for name in class_folders(home)}
    samples = _label_folders("mini_imagenet", home, folders, classes=100)
    return FolderImages(home, 84, samples=split_by_class(samples, train))


def load_tiny_imagenet(root: Path, train: bool, download: bool = False) -> FolderImages:
    """Tiny-ImageNet: 200 classes, (3, 64, 64); test part is `val`, as published or sorted into class folders."""
    home = _find_home("tiny_imagenet", root, TINY_HOMES)
    return _open_tiny("tiny_imagenet", home, train, classes=200)


def load_tiny_imagenet_20(root: Path, train: bool, download: bool = False) -> FolderImages:
    """A subset of 20 classes of Tiny-ImageNet, (3, 64, 64), in the layout of the whole set."""
    home = _find_home("tiny_imagenet_20", root, ("tiny-imagenet-20",))
    return _open_tiny("tiny_imagenet_20", home, train, classes=20)


def load_imagenet(root: Path, train: bool, download: bool = False) -> FolderImages:
    """ImageNet (ILSVRC 2012): 1,000 classes, (3, 224, 224): shorter side 256, center crop; test part is `val`."""
    home = _find_home("imagenet", root, IMAGENET_HOMES)
    return _open_split("imagenet", home, "train", "val", train, classes=1000, size=224, shorter_side=256)


def load_folder(root: Path, train: bool, download: bool = False, *, spec: DatasetSpec, home: str = ".") -> FolderImages:
    """Anyone's folder of images: (3, size, size), the shorter side resized, then center crop.

    Either `train` and `test` (or `val`) with a folder for each class in both; or the class folders alone, of each of
    which 20 % are the test part, as with Caltech-101.

    Args:
        spec: Gives size and number of classes.
        home: The folder under the root.

    Raises:
        DataError: Another layout, another number of classes, a class without images, or a file that is no image.
    """
    place, size, classes = root / home, spec.image_size, spec.classes
    names = set(class_folders(place))
    for test_part in ("test", "val"):
        if {"train", test_part} <= names:
            return _open_split(spec.name, place, "train", test_part, train, classes, size)
    if names & {"train", "test", "val"}:
        raise DataError(
            f"Data set '{spec.name}': '{place}' holds {', '.join(sorted(names & {'train', 'test', 'val'}))} alone; "
            "expected train and test (or val), or a folder for each class."
        )
    samples = _label_folders(spec.name, place, {name: name for name in names}, classes)
    return FolderImages(place, size, samples=split_by_class(samples, train))


def count_classes(place: Path) -> int:
    """Class folders of a folder of images, in either layout of `load_folder`.

    Raises:
        DataError: There is no such folder, or no folder in it.
    """
    return len(_part_classes(place / "train" if (place / "train").is_dir() else place))


def split_by_class(samples: Iterable[Sample], train: bool, fraction: float = TEST_FRACTION) -> Iterator[Sample]:
    """The training or the test part of a fixed split, stratified by class. Samples come class by class.

    Within a class, files are ordered by the sha256 of seed, label and file name; the first ones are the test part:
    `fraction` of the class, rounded, and at least one.
    """
    for _, members in groupby(samples, key=lambda sample: sample.label):
        ordered = sorted(members, key=_split_key)
        cut = max(1, round(fraction * len(ordered)))
        yield from ordered[cut:] if train else ordered[:cut]


def _split_key(sample: Sample) -> tuple[str, str]:
    label, name, _ = sample.order
    return hashlib.sha256(f"{SPLIT_SEED}/{label}/{name}".encode()).hexdigest(), sample.file


def _find_home(dataset: str, root: Path, homes: Sequence[str]) -> Path:
    """The first of the folders that exists under the root."""
    for home in homes:
        if (root / home).is_dir():
            return root / home
    raise DataError(
        f"Data set '{dataset}': looked in '{root}' for a folder named {' or '.join(homes)}; found none. "
        "Name the folder that holds it with --data-root DIR; this set can't be fetched with --download."
    )


def _label_folders(dataset: str, home: Path, folders: dict[str, str], classes: int) -> Iterator[Sample]:
    """Samples of class folders (class name -> path under `home`), labelled in the order of the sorted names."""
    _check_count(dataset, home, sorted(folders), classes)
    names = enumerate(sorted(folders))
    return (sample for label, name in names for sample in list_samples(home, folders[name], label))


def _open_split(
    dataset: str,
    home: Path,
    train_part: str,
    test_part: str,
    train: bool,
    classes: int,
    size: int,
    shorter_side: int | None = None,
) -> FolderImages:
    """A set with a folder for each part and class folders in each. The other part may be absent."""
    part, other = (train_part, test_part) if train else (test_part, train_part)
    names = _part_classes(home / part)
    if (home / other).is_dir():
        _check_same_classes(dataset, home / part, names, home / other, _part_classes(home / other))
    samples = _label_folders(dataset, home / part, {name: name for name in names}, classes)
    return FolderImages(home / part, size, shorter_side, samples)


def _part_classes(folder: Path) -> list[str]:
    return [name for name in class_folders(folder) if name != BACKGROUND]


def _open_tiny(dataset: str, home: Path, train: bool, classes: int) -> FolderImages:
    if not (home / "val" / "images").is_dir():
        return _open_split(dataset, home, "train", "val", train, classes, size=64)
    annotated = _read_annotations(dataset, home / "val")
    names = sorted(set(annotated.values()))
    if (home / "train").is_dir():
        _check_same_classes(dataset, home / "val", names, home / "train", class_folders(home / "train"))
    if train:
        samples = _label_folders(dataset, home / "train", {name: name for name in names}, classes)
        return FolderImages(home / "train", 64, samples=samples)
    _check_count(dataset, home / "val", names, classes)
    labels = {name: label for label, name in enumerate(names)}
    listed = [Sample(labels[name], f"images/{file}") for file, name in annotated.items()]
    return FolderImages(home / "val", 64, samples=sorted(listed))


def _read_annotations(dataset: str, val: Path) -> dict[str, str]:
    """File name -> class name, from the tab-separated `val_annotations.txt`; every file must be there."""
    path = val / "val_annotations.txt"
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"Data set '{dataset}': could not read '{path}': {error}. Expected it beside '{val / 'images'}'."
        ) from error
    annotated: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        file, tab, rest = line.partition("\t")
        if not tab or not rest:
            raise DataError(f"Data set '{dataset}': line {number} of '{path}' is '{line}'; expected file, tab, class.")
        annotated[file] = rest.split("\t")[0]
    absent = [file for file in annotated if not (val / "images" / file).is_file()]
    if absent or not annotated:
        raise DataError(
            f"Data set '{dataset}': '{path}' names {len(annotated)} images, of which {len(absent)} are missing "
            f"in '{val / 'images'}' ({', '.join(absent[:3])})."
        )
    return annotated


def _check_count(dataset: str, folder: Path, names: Sequence[str], classes: int) -> None:
    if len(names) != classes:
        raise DataError(
            f"Data set '{dataset}': found {len(names)} classes in '{folder}' ({', '.join(names[:3])}, ...), "
            f"expected {classes}."
        )


def _check_same_classes(
    dataset: str, first: Path, first_names: Sequence[str], second: Path, second_names: Sequence[str]
) -> None:
    differing = sorted(set(first_names) ^ set(second_names))
    if differing:
        raise DataError(
            f"Data set '{dataset}': '{first}' and '{second}' must hold the same classes, but {len(differing)} are "
            f"in one of them only: {', '.join(differing[:5])}{', ...' if len(differing) > 5 else ''}."
        )

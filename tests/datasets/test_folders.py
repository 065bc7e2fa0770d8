"""Folder loaders on small trees of the published layouts, made here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfkdbench.datasets import folders
from dfkdbench.datasets.file_index import Sample
from dfkdbench.datasets.folder_images import FolderImages
from dfkdbench.errors import DataError


@cache
def jpeg(seed: int) -> bytes:
    buffer = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def fill(folder: Path, names: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(jpeg(number % 7))


def wnids(count: int) -> list[str]:
    return [f"n{number:08d}" for number in range(count)]


def make_caltech(root: Path, classes: int = 101, per_class: int = 5) -> Path:
    home = root / "caltech101" / "101_ObjectCategories"
    for number in range(classes):
        fill(home / f"kind_{number:03d}", [f"image_{index:04d}.jpg" for index in range(1, per_class + 1)])
    fill(home / "BACKGROUND_Google", ["image_0001.jpg"])
    return home


def make_parts(home: Path, classes: int) -> None:
    for name in wnids(classes):
        fill(home / "train" / name, [f"{name}_1.JPEG", f"{name}_2.JPEG"])
        fill(home / "val" / name, [f"val_{name}.JPEG"])


def make_tiny_as_published(root: Path, classes: int = 200) -> Path:
    home = root / "tiny-imagenet-200"
    lines = []
    for number, name in enumerate(wnids(classes)):
        fill(home / "train" / name / "images", [f"{name}_0.JPEG", f"{name}_1.JPEG"])
        (home / "train" / name / f"{name}_boxes.txt").write_text("")
        lines.append(f"val_{classes - number}.JPEG\t{name}\t0\t0\t9\t9")
    fill(home / "val" / "images", [line.split("\t")[0] for line in lines])
    (home / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    return home


def files_by_label(images: FolderImages) -> dict[str, int]:
    return {sample.file: sample.label for sample in images.samples}


def test_caltech101__background_is_left_out_and_every_class_is_split(tmp_path: Path) -> None:
    make_caltech(tmp_path)
    train, test = folders.load_caltech101(tmp_path, True), folders.load_caltech101(tmp_path, False)
    assert (len(train), len(test)) == (404, 101)
    assert train.classes == test.classes == 101
    assert test.shape == (3, 128, 128)
    together = files_by_label(train) | files_by_label(test)
    assert len(together) == 505
    assert sorted(files_by_label(test).values()) == list(range(101))
    assert all(file.startswith(f"kind_{label:03d}/") for file, label in together.items())


def test_caltech101__ready_made_split_is_used(tmp_path: Path) -> None:
    for number in range(101):
        fill(tmp_path / "caltech101" / "train" / f"kind_{number:03d}", ["a.jpg", "b.jpg"])
        fill(tmp_path / "caltech101" / "test" / f"kind_{number:03d}", ["c.jpg"])
    assert len(folders.load_caltech101(tmp_path, True)) == 202
    assert len(folders.load_caltech101(tmp_path, False)) == 101


def test_split_by_class__is_fixed_and_ignores_order_and_other_classes() -> None:
    samples = [Sample(label, f"{label}/{index}.jpg") for label in range(3) for index in range(10 + label)]
    test = set(folders.split_by_class(samples, train=False))
    assert [sum(sample.label == label for sample in test) for label in range(3)] == [2, 2, 2]
    assert set(folders.split_by_class(samples[::-1], train=False)) == test
    assert set(folders.split_by_class(samples, train=True)) == set(samples) - test
    first_class = [sample for sample in samples if sample.label == 0]
    assert set(folders.split_by_class(first_class, train=False)) == {s for s in test if s.label == 0}
    assert sorted(s.file for s in test) == PINNED_TEST_FILES


PINNED_TEST_FILES = ["0/7.jpg", "0/8.jpg", "1/10.jpg", "1/6.jpg", "2/1.jpg", "2/9.jpg"]


def test_split_by_class__small_classes_still_have_a_test_image() -> None:
    assert len(list(folders.split_by_class([Sample(0, "0/a.jpg"), Sample(0, "0/b.jpg")], train=False))) == 1


def test_mini_imagenet__parts_cut_by_class_are_merged(tmp_path: Path) -> None:
    names = wnids(100)
    for part, members in (("test", names[:20]), ("train", names[20:84]), ("val", names[84:])):
        for name in members:
            fill(tmp_path / "mini-imagenet" / part / name, [f"{name}_{index}.jpg" for index in range(5)])
    train, test = folders.load_mini_imagenet(tmp_path, True), folders.load_mini_imagenet(tmp_path, False)
    assert (len(train), len(test), test.shape) == (400, 100, (3, 84, 84))
    assert all(names[label] in file for file, label in files_by_label(test).items())
    assert sorted(files_by_label(test).values()) == list(range(100))


def test_mini_imagenet__single_folder_gives_the_same_set(tmp_path: Path) -> None:
    names = wnids(100)
    for name in names:
        files = [f"{name}_{index}.jpg" for index in range(5)]
        fill(tmp_path / "flat" / "mini-imagenet" / name, files)
        fill(tmp_path / "cut" / "miniImageNet" / ("train" if name < names[64] else "test") / name, files)
    flat = folders.load_mini_imagenet(tmp_path / "flat", False)
    assert flat.fingerprint() == folders.load_mini_imagenet(tmp_path / "cut", False).fingerprint()
    assert flat.fingerprint() != folders.load_mini_imagenet(tmp_path / "flat", True).fingerprint()


def test_mini_imagenet__class_in_two_parts_is_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        fill(tmp_path / "mini-imagenet" / part / "n00000001", ["a.jpg"])
    with pytest.raises(DataError, match=r"class 'n00000001' lies in .*train/n00000001' and in .*test/n00000001'"):
        folders.load_mini_imagenet(tmp_path, True)


def test_tiny_imagenet__published_layout(tmp_path: Path) -> None:
    make_tiny_as_published(tmp_path)
    train, test = folders.load_tiny_imagenet(tmp_path, True), folders.load_tiny_imagenet(tmp_path, False)
    assert (len(train), len(test), test.shape, test.classes) == (400, 200, (3, 64, 64), 200)
    names = wnids(200)
    assert all(file.startswith(f"{names[label]}/") for file, label in files_by_label(train).items())
    assert files_by_label(test)["images/val_200.JPEG"] == 0
    assert files_by_label(test)["images/val_1.JPEG"] == 199


def test_tiny_imagenet__both_layouts_have_one_fingerprint(tmp_path: Path) -> None:
    home = make_tiny_as_published(tmp_path / "published")
    sorted_home = tmp_path / "sorted" / "tiny-imagenet-200"
    shutil.copytree(home, sorted_home)
    for line in (home / "val" / "val_annotations.txt").read_text().splitlines():
        file, name = line.split("\t")[:2]
        (sorted_home / "val" / name).mkdir()
        (sorted_home / "val" / "images" / file).rename(sorted_home / "val" / name / file)
    (sorted_home / "val" / "images").rmdir()
    published = folders.load_tiny_imagenet(tmp_path / "published", False)
    in_folders = folders.load_tiny_imagenet(tmp_path / "sorted", False)
    assert [sample.label for sample in published.samples] == [sample.label for sample in in_folders.samples]
    assert published.fingerprint() == in_folders.fingerprint()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no annotations", "could not read .*val_annotations.txt"),
        ("no tab", "line 3 of .* expected file, tab, class"),
        ("missing image", "of which 1 are missing"),
        ("foreign class", "must hold the same classes, but 1 are"),
        ("truncated", "must hold the same classes, but 150 are"),
    ],
)
def test_tiny_imagenet__damaged_annotations(tmp_path: Path, damage: str, message: str) -> None:
    val = make_tiny_as_published(tmp_path) / "val"
    annotations = val / "val_annotations.txt"
    lines = annotations.read_text().splitlines()
    if damage == "no annotations":
        annotations.unlink()
    elif damage == "no tab":
        annotations.write_text("\n".join([*lines[:2], "val_5.JPEG", *lines[3:]]))
    elif damage == "missing image":
        (val / "images" / "val_7.JPEG").unlink()
    elif damage == "foreign class":
        fill(val / "images", ["extra.JPEG"])
        annotations.write_text("\n".join([*lines, "extra.JPEG\tn99999999\t0"]))
    else:
        annotations.write_text("\n".join(lines[:50]))
    with pytest.raises(DataError, match=message):
        folders.load_tiny_imagenet(tmp_path, False)


def test_tiny_imagenet_20__class_folders(tmp_path: Path) -> None:
    make_parts(tmp_path / "tiny-imagenet-20", 20)
    train, test = folders.load_tiny_imagenet_20(tmp_path, True), folders.load_tiny_imagenet_20(tmp_path, False)
    assert (len(train), len(test), test.shape, test.classes) == (40, 20, (3, 64, 64), 20)
    pixels, labels = next(test.batches(20))
    assert pixels.shape == (20, 3, 64, 64)
    assert labels.tolist() == list(range(20))


def test_imagenet__class_folders(tmp_path: Path) -> None:
    for name in wnids(1000):
        fill(tmp_path / "imagenet" / "train" / name, [f"{name}_1.JPEG"])
        fill(tmp_path / "imagenet" / "val" / name, [f"val_{name}.JPEG"])
    test = folders.load_imagenet(tmp_path, False)
    assert (len(test), test.shape, test.classes, test.shorter_side) == (1000, (3, 224, 224), 1000, 256)
    assert len(folders.load_imagenet(tmp_path, True)) == 1000
    shutil.rmtree(tmp_path / "imagenet" / "train")
    assert len(folders.load_imagenet(tmp_path, False)) == 1000
    with pytest.raises(DataError, match=r"There is no folder .*train"):
        folders.load_imagenet(tmp_path, True)


def test_folders__classes_must_be_the_same_in_both_parts(tmp_path: Path) -> None:
    home = tmp_path / "tiny-imagenet-20"
    make_parts(home, 20)
    (home / "val" / "n00000003").rename(home / "val" / "n00000777")
    for train in (True, False):
        with pytest.raises(DataError, match="but 2 are in one of them only: n00000003, n00000777"):
            folders.load_tiny_imagenet_20(tmp_path, train)


def test_folders__number_of_classes_must_be_right(tmp_path: Path) -> None:
    make_parts(tmp_path / "tiny-imagenet-20", 19)
    with pytest.raises(DataError, match=r"found 19 classes in .*, expected 20"):
        folders.load_tiny_imagenet_20(tmp_path, True)
    make_caltech(tmp_path, classes=100)
    with pytest.raises(DataError, match=r"found 100 classes in .*, expected 101"):
        folders.load_caltech101(tmp_path, True)


def test_folders__empty_class_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "tiny-imagenet-20"
    make_parts(home, 20)
    (home / "val" / "n00000003" / "val_n00000003.JPEG").unlink()
    with pytest.raises(DataError, match="val/n00000003' holds no JPEG or PNG image"):
        folders.load_tiny_imagenet_20(tmp_path, False)


Loader = Callable[[Path, bool], FolderImages]


@pytest.mark.parametrize(
    ("load", "folder"),
    [
        (folders.load_caltech101, "caltech101"),
        (folders.load_mini_imagenet, "mini-imagenet"),
        (folders.load_tiny_imagenet, "tiny-imagenet-200"),
        (folders.load_tiny_imagenet_20, "tiny-imagenet-20"),
        (folders.load_imagenet, "imagenet"),
    ],
)
def test_folders__missing_and_empty_folders_say_what_where_and_how(tmp_path: Path, load: Loader, folder: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, False)
    assert f"looked in '{tmp_path}' for" in caught.value.message
    assert folder in caught.value.message
    assert "--data-root DIR" in caught.value.message
    (tmp_path / folder).mkdir()
    with pytest.raises(DataError, match=f"{tmp_path}/{folder}"):
        load(tmp_path, False)

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, Resize

from dfkdbench.datasets.file_index import FileIndex, Sample
from dfkdbench.datasets.folder_images import MOST_WORKERS, WORKERS_FROM, FolderImages, fitting_workers
from dfkdbench.datasets.images import TensorImages, make_resident
from dfkdbench.errors import DataError, RunError


def write_image(path: Path, seed: int, width: int = 20, height: int = 14, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width) if mode == "L" else (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for label, name in enumerate(("cat", "ant", "bee")):
        for number in range(3):
            write_image(root / name / f"{number}.{'png' if number else 'jpg'}", seed=10 * label + number)
    (root / "cat" / "notes.txt").write_text("no image")
    (root / ".hidden").mkdir()
    return root


def test_folder_images__labels_follow_sorted_class_names(tree: Path) -> None:
    images = FolderImages(tree, 8)
    pixels, labels = zip(*images.batches(4), strict=True)
    assert [len(part) for part in labels] == [4, 4, 1]
    assert torch.cat(labels).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [sample.file for sample in images.samples[:2]] == ["ant/0.jpg", "ant/1.png"]
    assert (len(images), images.shape, images.classes) == (9, (3, 8, 8), 3)
    assert torch.cat(pixels).shape == (9, 3, 8, 8)
    assert pixels[0].dtype == torch.uint8
    assert labels[0].dtype == torch.int64


@pytest.mark.parametrize(("width", "height"), [(20, 14), (13, 31), (8, 8), (10, 10), (9, 300)])
@pytest.mark.parametrize(("size", "shorter_side"), [(8, None), (8, 10), (16, 19)])
def test_folder_images__pixels_are_those_of_resize_and_center_crop(
    tmp_path: Path, width: int, height: int, size: int, shorter_side: int | None
) -> None:
    path = tmp_path / "only" / "image.png"
    write_image(path, seed=width, width=width, height=height)
    steps = Compose([Resize(shorter_side or size), CenterCrop(size)])
    with Image.open(path) as image:
        expected = np.asarray(steps(image.convert("RGB")))
    pixels, _ = FolderImages(tmp_path, size, shorter_side).take(torch.tensor([0]))
    assert np.array_equal(pixels[0].permute(1, 2, 0).numpy(), expected)


def test_folder_images__grey_files_become_three_equal_channels(tmp_path: Path) -> None:
    write_image(tmp_path / "only" / "grey.png", seed=1, mode="L")
    pixels, _ = FolderImages(tmp_path, 8).take(torch.tensor([0]))
    assert torch.equal(pixels[0, 0], pixels[0, 1])
    assert torch.equal(pixels[0, 0], pixels[0, 2])
    assert pixels.float().std() > 0


def test_folder_images__take_agrees_with_batches(tree: Path) -> None:
    images = FolderImages(tree, 8)
    everything, labels = next(images.batches(100))
    picked, picked_labels = images.take(torch.tensor([8, 0, 4]))
    assert torch.equal(picked, everything[[8, 0, 4]])
    assert torch.equal(picked_labels, labels[[8, 0, 4]])


def test_folder_images__processes_give_the_same_batches_and_read_two_ahead_each(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, labels = zip(*FolderImages(tree, 8).batches(2), strict=True)
    asked: list[int] = []
    images = FolderImages(tree, 8, workers=1)

    def ask() -> Iterator[Tensor]:
        for start in range(0, 8, 2):
            asked.append(start)
            yield torch.arange(start, start + 2)

    drawn = images.drawn(ask())
    first = next(drawn)
    assert asked == [0, 2, 4]
    found, found_labels = zip(first, *drawn, strict=True)
    assert torch.equal(torch.cat(found), torch.cat(expected[:4]))
    assert torch.equal(torch.cat(found_labels), torch.cat(labels[:4]))
    again = zip(*FolderImages(tree, 8, workers=2).batches(2), strict=True)
    assert [torch.cat(part).tolist() for part in again] == [torch.cat(part).tolist() for part in (expected, labels)]


def test_folder_images__processes_end_with_their_reader(tree: Path) -> None:
    batches = FolderImages(tree, 8, workers=2).batches(1)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []


def test_folder_images__process_that_is_killed_is_told(tree: Path) -> None:
    batches = FolderImages(tree, 8, workers=1).batches(1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.kill()
    worker.join()
    with pytest.raises(RunError, match=r"process that decodes images .* was ended from outside"):
        list(batches)


def test_folder_images__decoding_leaves_the_random_state_alone(tree: Path) -> None:
    before = torch.get_rng_state()
    for workers in (0, 1):
        list(FolderImages(tree, 8, workers=workers).batches(4))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("count", "some"), [(WORKERS_FROM - 1, False), (WORKERS_FROM, True), (10**6, True)])
def test_fitting_workers__are_there_for_larger_sets(count: int, some: bool) -> None:
    assert (fitting_workers(count) > 0) == some
    assert fitting_workers(count) <= MOST_WORKERS


def test_fingerprint__ignores_the_place_but_sees_content_name_label_and_size(tree: Path, tmp_path: Path) -> None:
    original = FolderImages(tree, 8).fingerprint()
    moved = tmp_path / "elsewhere"
    shutil.copytree(tree, moved)
    assert FolderImages(moved, 8).fingerprint() == original
    assert FolderImages(moved, 9).fingerprint() != original
    assert FolderImages(moved, 8, 9).fingerprint() != original
    samples = FolderImages(moved, 8).samples
    relabelled = sorted(Sample(2 - sample.label, sample.file) for sample in samples)
    assert FolderImages(moved, 8, samples=relabelled).fingerprint() != original
    (moved / "bee" / "2.png").rename(moved / "bee" / "3.png")
    assert FolderImages(moved, 8).fingerprint() != original
    (moved / "bee" / "3.png").rename(moved / "bee" / "2.png")
    assert FolderImages(moved, 8).fingerprint() == original
    with (moved / "bee" / "2.png").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    assert FolderImages(moved, 8).fingerprint() != original


def test_make_resident__decodes_once_and_keeps_the_fingerprint(tree: Path) -> None:
    images = FolderImages(tree, 8)
    resident = make_resident(images, "cpu")
    assert isinstance(resident, TensorImages)
    assert resident.fingerprint() == images.fingerprint()
    everything, labels = next(images.batches(100))
    assert torch.equal(resident.images, everything)
    assert torch.equal(resident.labels, labels)


def test_make_resident__leaves_a_large_set_in_its_files(tree: Path) -> None:
    images = FolderImages(tree, 8)
    assert make_resident(images, "cpu", limit_bytes=9 * 3 * 8 * 8 - 1) is images
    assert make_resident(images, "cpu", limit_bytes=9 * 3 * 8 * 8) is not images


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
@pytest.mark.parametrize(("file", "workers"), [("ant/0.jpg", 0), ("ant/1.png", 0), ("ant/1.png", 2)])
def test_folder_images__unreadable_image_names_the_file(tree: Path, file: str, damage: str, workers: int) -> None:
    path = tree / file
    content = {"truncated": path.read_bytes()[: path.stat().st_size // 2], "text": b"not an image", "empty": b""}
    path.write_bytes(content[damage])
    images = FolderImages(tree, 8, workers=workers)
    with pytest.raises(DataError, match=f"^Could not read the image .*{file}"):
        list(images.batches(4))


def test_fingerprint__missing_file_is_a_data_error(tree: Path) -> None:
    images = FolderImages(tree, 8)
    (tree / "ant" / "0.jpg").unlink()
    with pytest.raises(DataError, match=r"ant/0\.jpg"):
        images.fingerprint()


def test_folder_images__refuses_missing_and_empty_folders(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        FolderImages(tmp_path / "nowhere", 8)
    (tmp_path / "hollow").mkdir()
    with pytest.raises(DataError, match="holds no class folders"):
        FolderImages(tmp_path / "hollow", 8)
    (tree / "dog").mkdir()
    with pytest.raises(DataError, match="dog' holds no JPEG or PNG"):
        FolderImages(tree, 8)
    with pytest.raises(DataError, match="no images for this set"):
        FolderImages(tree, 8, samples=[])


def test_folder_images__refuses_a_crop_larger_than_the_image(tree: Path) -> None:
    with pytest.raises(DataError, match="crop of 8 pixels does not fit"):
        FolderImages(tree, 8, shorter_side=7)


def test_file_index__gives_back_what_it_was_given_in_canonical_order(tmp_path: Path) -> None:
    given = [
        Sample(0, "a/z/1.png"),
        Sample(0, "a/2.png"),
        Sample(0, "a/b/1.png"),
        Sample(3, os.fsdecode(b"d/\xff.png")),
    ]
    index = FileIndex(given)
    assert list(index) == [given[2], given[0], given[1], given[3]]
    assert (index[-1], index[1:3], len(index), index.classes) == (given[3], [given[0], given[1]], 4, 4)
    assert index.nbytes == 12 * 4 + 8 + sum(len(os.fsencode(sample.file)) for sample in given)
    with pytest.raises(IndexError):
        index[4]


def test_file_index__labels_must_rise() -> None:
    with pytest.raises(ValueError, match="class 0 come behind those of class 1"):
        FileIndex([Sample(1, "b/0.png"), Sample(0, "a/0.png")])

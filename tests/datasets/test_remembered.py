"""What is kept of the hashes of large sets, and what makes it be read again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfkdbench.datasets import folder_images, remembered
from dfkdbench.datasets.folder_images import FolderImages
from dfkdbench.datasets.loading import describe_reading, has_to_be_read, read_fingerprint
from dfkdbench.errors import DataError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six files that count as large, whose last change is long ago for a file system."""
    for number in range(6):
        place = tmp_path / "tree" / f"kind_{number % 2}" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 9, 3), 40 * number, dtype=np.uint8)).save(place)
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(folder_images, "RESIDENT_BYTES", 6 * 3 * 8 * 8 - 1)
    monkeypatch.setattr(remembered, "SETTLED_SECONDS", 0.0)
    time.sleep(0.02)
    return tmp_path / "tree"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The sets whose files were read."""
    read: list[Path] = []
    hash_files = FolderImages._hash_files

    def record(images: FolderImages) -> str:
        read.append(images.root)
        return hash_files(images)

    monkeypatch.setattr(FolderImages, "_hash_files", record)
    return read


def test_fingerprint__of_a_large_set_is_read_once(tree: Path, reads: list[Path]) -> None:
    first = FolderImages(tree, 8)
    assert has_to_be_read(first)
    assert "read for this command" in str({first.fingerprint(): first.fingerprint_from})
    again = FolderImages(tree, 8)
    assert not has_to_be_read(again)
    assert again.fingerprint() == first.fingerprint()
    assert reads == [tree]
    assert "sizes and times of all files are those of then" in str(describe_reading(again)["fingerprint"])


def test_fingerprint__of_a_small_set_is_read_always(
    tree: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_images, "RESIDENT_BYTES", 6 * 3 * 8 * 8)
    for _ in range(2):
        FolderImages(tree, 8).fingerprint()
    assert reads == [tree, tree]


def test_read_fingerprint__takes_no_ones_word_for_it(tree: Path, reads: list[Path]) -> None:
    expected = FolderImages(tree, 8).fingerprint()
    images = FolderImages(tree, 8)
    assert read_fingerprint(images) == images.fingerprint() == expected
    assert reads == [tree, tree]


def overwrite(path: Path) -> None:
    """One byte is another; size and date are those of before."""
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + b"!")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def rename(path: Path) -> None:
    path.rename(path.with_name("9.png"))


def move(path: Path) -> None:
    path.rename(path.parent.parent / "kind_0" / path.name)


def replace_by_an_equal_one(path: Path) -> None:
    shutil.copy2(path, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


@pytest.mark.parametrize("change", [overwrite, rename, move, Path.touch, replace_by_an_equal_one])
def test_fingerprint__is_read_again_after(change: Callable[[Path], None], tree: Path, reads: list[Path]) -> None:
    before = FolderImages(tree, 8).fingerprint()
    change(tree / "kind_1" / "3.png")
    after = FolderImages(tree, 8)
    assert (after.fingerprint() == before) == (change in (Path.touch, replace_by_an_equal_one))
    assert reads == [tree, tree]


def test_fingerprint__of_another_size_or_label_is_another(tree: Path, reads: list[Path]) -> None:
    FolderImages(tree, 8).fingerprint()
    FolderImages(tree, 8, shorter_side=9).fingerprint()
    (tree / "a").mkdir()
    Image.new("RGB", (9, 9)).save(tree / "a" / "0.png")
    FolderImages(tree, 8).fingerprint()
    assert len(reads) == 3


def test_fingerprint__of_files_that_have_just_changed_is_not_kept(
    tree: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "SETTLED_SECONDS", 60.0)
    for _ in range(2):
        FolderImages(tree, 8).fingerprint()
    assert len(reads) == 2


def test_fingerprint__of_files_that_change_while_they_are_read_is_not_kept(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_files = FolderImages._hash_files

    def disturbed(images: FolderImages) -> str:
        found = hash_files(images)
        (tree / "kind_0" / "0.png").touch()
        return found

    monkeypatch.setattr(FolderImages, "_hash_files", disturbed)
    FolderImages(tree, 8).fingerprint()
    assert has_to_be_read(FolderImages(tree, 8))


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"fingerprint": 3}'])
def test_fingerprint__damaged_note_is_no_note(tree: Path, reads: list[Path], damage: bytes, tmp_path: Path) -> None:
    expected = FolderImages(tree, 8).fingerprint()
    (note,) = (tmp_path / "home" / "fingerprints").glob("*.json")
    note.write_bytes(damage)
    assert FolderImages(tree, 8).fingerprint() == expected
    assert len(reads) == 2


def test_fingerprint__needs_no_home_that_can_be_written(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    assert FolderImages(tree, 8).fingerprint() == FolderImages(tree, 8).fingerprint()


def test_fingerprint__of_a_large_set_tells_a_file_that_is_no_image(tree: Path) -> None:
    (tree / "kind_1" / "3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"^Could not read the image '.*3\.png'"):
        FolderImages(tree, 8).fingerprint()
    assert has_to_be_read(FolderImages(tree, 8))

"""Data sets of one's own that take no loader: a folder of images, a class of torchvision."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from dfkdbench.cli import main
from dfkdbench.datasets import local
from dfkdbench.datasets.loading import load_dataset
from dfkdbench.datasets.specs import DATASETS
from dfkdbench.descriptors import DatasetSpec
from dfkdbench.errors import DataError
from dfkdbench.registry import Registry

COLOURS = {"blue": (0, 0, 200), "red": (200, 0, 0)}


class Shapes:
    """As a class of torchvision: grey PIL images with labels."""

    def __init__(self, root: Path, split: str) -> None:
        if not (root / "shapes").is_dir():
            raise RuntimeError("Dataset not found")
        self.count = {"train": 6, "test": 4}[split]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.new("L", (12, 10), 10 * index), index % 2


def shapes(reader: str = f"{__name__}:Shapes", **changes: object) -> DatasetSpec:
    digits = DATASETS[0]
    values = {
        **{field: getattr(digits, field) for field in ("channels", "mean", "std", "pairs", "budgets")},
        **{field: getattr(digits, field) for field in ("teacher", "teacher_smoke")},
        "name": "shapes",
        "summary": "Toy.",
        "target": "dfkdbench.datasets.vision:load_class",
        "classes": 2,
        "image_size": 8,
        "arguments": {"reader": reader, "train_arguments": {"split": "train"}, "test_arguments": {"split": "test"}},
    }
    return DatasetSpec(**(values | changes))


def paint(place: Path, count: int) -> None:
    for name, colour in COLOURS.items():
        (place / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (20, 16 + number), colour).save(place / name / f"{number}.png")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def invoke(
    home: Path, make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry], monkeypatch
) -> Callable[..., Result]:
    make_distribution("added", "", entry="local = dfkdbench.datasets.local")

    def run(*arguments: str, exit_code: int = 0) -> Result:
        for module in ("dfkdbench.registry", "dfkdbench.cli.listing", "dfkdbench.bench"):
            monkeypatch.setattr(f"{module}.load_registry", registry_of_site)
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == exit_code, done.output
        return done

    return run


def test_load_class__reads_resizes_and_labels(tmp_path: Path) -> None:
    (tmp_path / "shapes").mkdir()
    train, test = (load_dataset(shapes(), tmp_path, train=part) for part in (True, False))
    assert (len(train), len(test), train.shape) == (6, 4, (1, 8, 8))
    images, labels = test.take(torch.arange(4))
    assert labels.tolist() == [0, 1, 0, 1]
    assert images[3].unique().tolist() == [30]
    assert load_dataset(shapes(channels=3), tmp_path, train=False).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (shapes(), "missing, damaged or not the published ones: Dataset not found"),
        (shapes(reader="torchvision.datasets:Mnist"), "there is no class 'torchvision.datasets:Mnist'"),
    ],
    ids=["no files", "no such class"],
)
def test_load_class__errors(spec: DatasetSpec, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        load_dataset(spec, tmp_path, train=True)


def test_add__a_folder_with_both_parts(tmp_path: Path, invoke: Callable[..., Result], home: Path) -> None:
    for part, count in (("train", 5), ("test", 2)):
        paint(tmp_path / "toys" / part, count)
    done = invoke("dataset", "add", "toys", str(tmp_path / "toys"), "--image-size", "16")
    assert "toys: 2 classes, 10 train / 4 test images of 3x16x16; mean 0.3922,0.0000,0.3922" in done.output
    rows = json.loads(invoke("list", "datasets", "--json").output)
    assert [row["shape"] for row in rows if row["name"] == "toys"] == ["3x16x16"]
    card = local.read_card(home / "datasets" / "toys.json")
    images, labels = load_dataset(card.spec(), None, train=False).take(torch.arange(4))
    assert labels.tolist() == [0, 0, 1, 1]
    assert images[0, :, 0, 0].tolist() == [0, 0, 200]
    assert "There is a data set 'toys' already" in invoke("dataset", "add", "toys", "x", exit_code=2).stderr
    invoke("dataset", "add", "toys", str(tmp_path / "toys"), "--force")
    assert "3x32x32" in invoke("list", "datasets").output
    invoke("dataset", "remove", "toys")
    assert "toys" not in invoke("list", "datasets").output
    assert "Unknown added data set 'toys'" in invoke("dataset", "remove", "toys", exit_code=2).stderr


def test_add__class_folders_alone_are_split(tmp_path: Path, invoke: Callable[..., Result]) -> None:
    paint(tmp_path / "toys", 10)
    assert "16 train / 4 test images" in invoke("dataset", "add", "toys", str(tmp_path / "toys")).output


def test_run__on_an_added_folder_that_the_worker_can_not_read(
    site: Path, tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    package = site / "flowers"  # where the worker reads, unless the judge closes it
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    for part, count in (("train", 20), ("test", 10)):
        paint(package / "images" / part, count)
    invoke("dataset", "add", "toys", str(package / "images"), "--image-size", "16")
    arguments = ("--dataset", "toys", "--pair", "lenet_s:lenet_xs", "--budget", "smoke", "--threads", "1")
    done = invoke("run", "--plugin", "noise", *arguments, "--out", str(tmp_path / "runs"))
    assert "| noise    | toys      | lenet_s:lenet_xs | 0      | finished |" in done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    policy = json.loads(json.loads((folder / "launch.json").read_text(encoding="utf-8"))["policy"])
    opened = [Path(path) for path in policy["read"]]
    assert package / "__init__.py" in opened or package in [path.parent for path in opened]
    assert not [path for path in opened if (package / "images").is_relative_to(path)]


def break_file(place: Path) -> None:
    (place / "test" / "red" / "0.png").write_bytes(b"no image")


def drop_class(place: Path) -> None:
    for file in (place / "test" / "red").iterdir():
        file.unlink()
    (place / "test" / "red").rmdir()


def drop_part(place: Path) -> None:
    (place / "test").rename(place.parent / "elsewhere")


def empty_class(place: Path) -> None:
    for file in (place / "train" / "red").iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (break_file, "Could not read the image"),
        (drop_class, "must hold the same classes, but 1 are in one of them only: red"),
        (drop_part, "holds train alone; expected train and test (or val)"),
        (empty_class, "holds no JPEG or PNG image"),
    ],
)
def test_add__refuses(
    spoil: Callable[[Path], None], said: str, tmp_path: Path, invoke: Callable[..., Result], home: Path
) -> None:
    for part in ("train", "test"):
        paint(tmp_path / "toys" / part, 2)
    spoil(tmp_path / "toys")
    assert said in invoke("dataset", "add", "toys", str(tmp_path / "toys"), exit_code=2).stderr
    assert not (home / "datasets").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [("digits", "There is a data set 'digits' already"), ("My set", "is made of a-z"), ("toys", "There is no folder")],
)
def test_add__names_and_places(name: str, said: str, invoke: Callable[..., Result]) -> None:
    assert said in invoke("dataset", "add", name, "nowhere", exit_code=2).stderr


def test_card__damaged_is_told_and_stops_nothing(home: Path, invoke: Callable[..., Result]) -> None:
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "torn.json").write_text('{"schema": 1', encoding="utf-8")
    assert "torn.json is no card of a data set; remove it" in invoke("list", "plugins").output
    assert "digits" in invoke("list", "datasets").output

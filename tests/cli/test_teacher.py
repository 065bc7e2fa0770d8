"""`dfkdbench teacher train | import | list`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from dfkdbench.cli import main, progress
from dfkdbench.teachers.store import shipped_folder

TRAIN = ("train", "--dataset", "digits", "--arch", "lenet_s", "--recipe", "smoke", "--device", "cpu")
SHIPPED = shipped_folder() / "digits-lenet_s-s0"
FILE = ("import", "--checkpoint")
IMPORT = ("--dataset", "digits", "--arch", "lenet_s", "--device", "cpu")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path))
    return tmp_path / "teachers"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks train faster so where other processes are at work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def invoke(*arguments: str, exit_code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["teacher", *arguments])
    assert done.exit_code == exit_code, done.output
    return done


def card_of(folder: Path) -> dict[str, object]:
    card: dict[str, object] = json.loads((folder / "teacher.json").read_text(encoding="utf-8"))
    return card


def test_train__writes_a_pinned_teacher_once(home: Path) -> None:
    done = invoke(*TRAIN, "--seed", "3")
    card = card_of(home / "digits-lenet_s-s3-smoke")
    assert f"digits-lenet_s-s3-smoke: {card['accuracy']:.2f} % on the test set, sha256 {card['sha256']}" in done.stdout
    assert "training teacher digits-lenet_s-s3-smoke on cpu" in done.stderr
    assert "epoch 2/2, loss " in done.stderr
    assert "digits-lenet_s-s3-smoke" in invoke("list").stdout
    again = invoke(*TRAIN, "--seed", "3", exit_code=2)
    assert "There is a teacher 'digits-lenet_s-s3-smoke'" in again.stderr
    invoke(*TRAIN, "--seed", "3", "--force")
    assert card_of(home / "digits-lenet_s-s3-smoke")["sha256"] == card["sha256"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "--dataset", "digit", "--arch", "lenet_s"), "Did you mean 'digits'?"),
        (("train", "--dataset", "digits", "--arch", "lenet_z"), "Unknown model 'lenet_z'. Did you mean"),
        (("train", "--dataset", "digits", "--arch", "lenet5"), "'lenet5' takes images of 32 pixels"),
        ((*TRAIN, "--device", "gpu"), "--device 'gpu' can't be used"),
        ((*TRAIN, "--seed", "-1"), "'--seed'"),
        ((*FILE, "none.safetensors", *IMPORT), "There is no file 'none.safetensors' to import."),
        (
            (*FILE, "x", *IMPORT, "--mean", "0.5,0.5"),
            "--mean takes one number for each of 1 channel(s)",
        ),
        ((*FILE, "x", *IMPORT, "--mean", "half"), "given 'half'"),
        ((*FILE, "x", *IMPORT, "--std", "0"), "--std takes numbers above 0"),
    ],
)
def test_errors(arguments: tuple[str, ...], said: str, home: Path) -> None:
    assert said in invoke(*arguments, exit_code=2).stderr
    assert not home.exists()


def test_train__data_root_without_the_files(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = invoke("train", "--dataset", "mnist", "--arch", "lenet5", "--data-root", str(empty), exit_code=2)
    assert "mnist" in done.stderr
    assert "--data-root" in done.stderr


def test_import__same_weights_same_accuracy(home: Path) -> None:
    invoke(*FILE, str(SHIPPED / "weights.safetensors"), *IMPORT, "--name", "mine")
    card, shipped = card_of(home / "mine"), card_of(SHIPPED)
    assert (card["accuracy"], card["sha256"]) == (shipped["accuracy"], shipped["sha256"])
    assert (card["kind"], card["seed"]) == ("imported", None)
    assert card["mean"] == shipped["mean"]


def test_import__other_normalisation_is_kept(home: Path) -> None:
    weights = str(SHIPPED / "weights.safetensors")
    invoke(*FILE, weights, *IMPORT, "--name", "shifted", "--mean", "0.9", "--std", "0.5")
    card = card_of(home / "shifted")
    assert (card["mean"], card["std"]) == ([0.9], [0.5])
    assert card["accuracy"] != card_of(SHIPPED)["accuracy"]


def test_import__pickle_only_when_allowed_and_names_rewritten(home: Path, tmp_path: Path) -> None:
    tensors = load_file(SHIPPED / "weights.safetensors")
    legacy = tmp_path / "legacy.pt"
    torch.save({f"body.{name}": tensor for name, tensor in tensors.items()}, legacy)
    assert "--allow-pickle" in invoke(*FILE, str(legacy), *IMPORT, exit_code=2).stderr
    assert "don't fit" in invoke(*FILE, str(legacy), *IMPORT, "--allow-pickle", exit_code=2).stderr
    assert not home.exists()
    invoke(*FILE, str(legacy), *IMPORT, "--allow-pickle", "--rename", r"^body\.", "", "--name", "legacy")
    assert card_of(home / "legacy")["accuracy"] == card_of(SHIPPED)["accuracy"]


def test_import__wrappers_and_prefixes_are_taken_off_and_told(home: Path, tmp_path: Path) -> None:
    tensors = load_file(SHIPPED / "weights.safetensors")
    legacy = tmp_path / "legacy.pth"
    torch.save({"epoch": 9, "state_dict": {f"module.model.{name}": value for name, value in tensors.items()}}, legacy)
    done = invoke(*FILE, str(legacy), *IMPORT, "--allow-pickle", "--name", "wrapped")
    assert done.stderr.splitlines() == [
        "legacy.pth: took the tensors under 'state_dict'",
        "legacy.pth: dropped 'module.' before every name",
        "legacy.pth: dropped 'model.' before every name",
    ]
    assert card_of(home / "wrapped")["sha256"] == card_of(SHIPPED)["sha256"]


def test_import__mismatch_is_a_short_list(tmp_path: Path) -> None:
    tensors = load_file(SHIPPED / "weights.safetensors")
    tensors["head.weight"] = tensors.pop("fc.weight")
    tensors["conv1.weight"] = tensors["conv1.weight"][:, :, :3].contiguous()
    save_file(tensors, tmp_path / "other.safetensors")
    said = invoke(*FILE, str(tmp_path / "other.safetensors"), *IMPORT, exit_code=2).stderr
    assert "don't fit the architecture 'lenet_s'. Rename tensors with --rename PATTERN REPLACEMENT." in said
    assert "\n  lacks 'fc.weight' (10, 64); nearest in the file: 'head.weight'" in said
    assert "\n  'conv1.weight' is (16, 1, 3, 5), expected (16, 1, 5, 5)" in said
    assert "Traceback" not in said


def test_import__truncated(tmp_path: Path) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes((SHIPPED / "weights.safetensors").read_bytes()[:-100])
    assert "damaged or truncated" in invoke(*FILE, str(torn), *IMPORT, exit_code=2).stderr


@pytest.mark.parametrize(("epochs", "lines"), [(2, 2), (10, 10), (200, 10), (60, 10)])
def test_progress__about_ten_plain_lines(epochs: int, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.epoch_progress("toy") as on_epoch:
        for epoch in range(1, epochs + 1):
            on_epoch(epoch, epochs, 0.5)
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1 + lines
    assert printed[-1] == f"  epoch {epochs}/{epochs}, loss 0.5000"


def test_progress__bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress.epoch_progress("toy") as on_epoch:
        on_epoch(1, 2, 0.25)
        on_epoch(2, 2, 0.125)
    printed = capsys.readouterr().err
    assert "0.1250" in printed
    assert "━" in printed

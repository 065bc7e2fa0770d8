"""`leaderboard init`: boards that are whole from the first file on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome

from dfkdbench.boards.definition import read_definition
from dfkdbench.cli import main


def init(*words: object) -> Outcome:
    return CliRunner().invoke(main, ["leaderboard", "init", *map(str, words)])


@pytest.fixture(autouse=True)
def _no_teachers_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path / "home"))


def test_init__pins_teachers_that_are_at_hand(tmp_path: Path) -> None:
    done = init(tmp_path / "new", "--dataset", "digits")
    assert done.exit_code == 0, done.output
    definition = read_definition(tmp_path / "new")
    assert [cell.pair for cell in definition.cells] == ["lenet_s:lenet_xs", "resnet_s:resnet_xs"]
    assert [cell.teachers[0].name for cell in definition.cells] == ["digits-lenet_s-s0", "digits-resnet_s-s0"]
    assert [tier.name for tier in definition.cells[0].budgets] == ["standard"]
    assert not any(cell.is_open for cell in definition.cells)
    assert CliRunner().invoke(main, ["leaderboard", "build", str(tmp_path / "new")]).exit_code == 0


def test_init__leaves_open_what_is_not_at_hand(tmp_path: Path) -> None:
    done = init(tmp_path / "new", "--dataset", "svhn", "--pair", "resnet34:resnet18", "--budget", "quick")
    assert "train its teacher (dfkdbench teacher train --dataset svhn --arch resnet34)" in done.stderr
    (cell,) = read_definition(tmp_path / "new").cells
    assert cell.is_open


def test_init__several_teachers_and_tiers(tmp_path: Path) -> None:
    words = (*("--pair", "lenet_s:lenet_xs"), *("--budget", "quick"), *("--budget", "standard"), "--teachers", 3)
    init(tmp_path / "new", "--dataset", "digits", *words)
    (cell,) = read_definition(tmp_path / "new").cells
    assert [teacher.name for teacher in cell.teachers] == [f"digits-lenet_s-s{seed}" for seed in range(3)]
    assert [tier.name for tier in cell.budgets] == ["quick", "standard"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--dataset", "digit"), "Unknown dataset 'digit'. Did you mean 'digits'?"),
        (("--dataset", "digits", "--budget", "quik"), "Unknown tier of digits 'quik'. Did you mean 'quick'?"),
        (("--dataset", "digits", "--pair", "lenet_s"), "--pair takes TEACHER:STUDENT, given 'lenet_s'."),
        (("--dataset", "digits", "--pair", "lenet_s:lenet_x"), "Unknown model 'lenet_x'. Did you mean 'lenet_xs'?"),
    ],
)
def test_init__mistakes(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    done = init(tmp_path / "new", *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (tmp_path / "new").exists()


def test_init__never_overwrites(tmp_path: Path) -> None:
    init(tmp_path, "--dataset", "digits")
    done = init(tmp_path, "--dataset", "mnist")
    assert done.exit_code == 2
    assert "is there already" in done.stderr
    assert read_definition(tmp_path).cells[0].dataset == "digits"


def test_init__folder_with_an_odd_name(tmp_path: Path) -> None:
    assert init(tmp_path / 'my "board"', "--dataset", "digits").exit_code == 0
    assert read_definition(tmp_path / 'my "board"').name == "my-board"


def test_pages__workflow_lies_at_the_root_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    board = tmp_path / "boards" / "my board"
    assert init(board, "--dataset", "digits", "--pages").exit_code == 0
    text = (tmp_path / ".github" / "workflows" / "leaderboard.yml").read_text()
    assert "      - run: dfkdbench leaderboard check 'boards/my board'\n" in text
    assert '          path: "boards/my board"\n' in text
    assert "${{ steps.deployment.outputs.page_url }}" in text
    assert not re.search(r"(?<!\$\{)\{(?!\{)", text)
    again = init(tmp_path / "boards" / "two", "--dataset", "digits", "--pages")
    assert "leaderboard.yml is there already" in again.stderr

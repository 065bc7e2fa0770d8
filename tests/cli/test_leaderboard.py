"""`dfkdbench leaderboard build` and `check`: what they print, and how they end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome

from dfkdbench.cli import main

GOLDEN = Path(__file__).parents[1] / "boards" / "golden"
BAD = "toy-digits-lenet_s-lenet_xs-s7-af779b6d4c3f"
WORDS = f"{BAD}: It ran in the judge's process, for debugging; boards take runs of the sealed worker.\n"


def call(*words: object) -> Outcome:
    return CliRunner().invoke(main, ["leaderboard", *map(str, words)])


@pytest.fixture
def board(tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN, tmp_path / "board")


def test_build__says_what_it_built_and_left_out(board: Path) -> None:
    done = call("build", board)
    assert done.exit_code == 0
    assert done.stdout == f"Built {board}: 15 entries, 6 rows in 2 table(s).\n"
    assert done.stderr == f"Left out: {WORDS}"


def test_check__one_line_a_problem_and_status_1(board: Path) -> None:
    (board / "entries" / "broken").mkdir()
    done = call("check", board)
    assert (done.exit_code, done.stderr) == (1, "")
    assert done.stdout == f"broken: plan.json and result.json are missing.\n{WORDS}"


def test_check__of_a_board_that_holds(board: Path) -> None:
    shutil.rmtree(board / "entries" / BAD)
    done = call("check", board)
    assert (done.exit_code, done.stdout) == (0, "15 entries hold.\n")


def test_check__outputs(board: Path) -> None:
    shutil.rmtree(board / "entries" / BAD)
    call("build", board)
    assert call("check", board, "--outputs").exit_code == 0
    (board / "data.json").unlink()
    done = call("check", board, "--outputs")
    assert done.exit_code == 1
    line = f"data.json: It is not what these entries give. Run: dfkdbench leaderboard build {board}\n"
    assert done.stdout == line


@pytest.mark.parametrize("command", ["build", "check", "migrate"])
def test_no_board(tmp_path: Path, command: str) -> None:
    done = call(command, tmp_path)
    assert done.exit_code == 2
    assert f"There is no board in '{tmp_path}': expected a leaderboard.toml there." in done.stderr


def test_entries__that_are_no_folder(board: Path) -> None:
    shutil.rmtree(board / "entries")
    (board / "entries").write_text("")
    done = call("build", board)
    assert done.exit_code == 2
    assert "is no folder; a board keeps its entries there." in done.stderr

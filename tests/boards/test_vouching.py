"""A host notes beside an entry how far its run was verified: of that very record, and never less than before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dfkdbench.boards.entries import read_entry
from dfkdbench.boards.vouching import vouch
from dfkdbench.cli import main
from dfkdbench.errors import DataError, IntegrityError
from dfkdbench.runfolder import RunFolder
from dfkdbench.verification import Check, reached

Make = Callable[..., Any]


@pytest.fixture
def submitted(tmp_path: Path, board: Path, make_entry: Make) -> RunFolder:
    """A run whose record is on the board."""
    made = make_entry()
    made.write(board)
    return RunFolder(made.write_to(tmp_path / "runs" / made.run_id))


def test_vouch__is_read_back_as_the_entrys_level(submitted: RunFolder, board: Path) -> None:
    entry = board / "entries" / submitted.root.name
    assert read_entry(entry).verified == "none"
    for level, stands in ((0, "L0"), (2, "L2"), (1, "L2")):
        assert vouch(submitted, level, board) == stands == read_entry(entry).verified


def test_vouch__refuses_another_record_of_the_run(submitted: RunFolder, board: Path) -> None:
    record = json.loads(submitted.result.read_text())
    submitted.result.write_text(json.dumps(record | {"train_seconds": 1.0}))
    with pytest.raises(IntegrityError, match=r"another result\.json than the run that was verified"):
        vouch(submitted, 1, board)
    assert read_entry(board / "entries" / submitted.root.name).verified == "none"


def test_vouch__says_how_a_run_gets_onto_the_board(submitted: RunFolder, board: Path) -> None:
    shutil.rmtree(board / "entries" / submitted.root.name)
    with pytest.raises(DataError, match=f"dfkdbench submit .*{submitted.root.name} --leaderboard"):
        vouch(submitted, 1, board)


def check(level: int, name: str, holds: bool | None) -> Check:
    return Check(level, name, holds, "")


@pytest.mark.parametrize(
    ("checks", "level"),
    [
        ([], None),
        ([check(0, "record", False)], None),
        ([check(0, "record", True)], 0),
        ([check(0, "record", True), check(0, "images", None)], 0),
        ([check(0, "record", True), check(0, "images", False)], None),
        ([check(0, "record", True), check(1, "accuracy", True), check(1, "curve", None)], 1),
        ([check(0, "record", True), check(1, "accuracy", True), check(1, "no teacher", None)], 0),
        ([check(0, "record", True), check(1, "curve", None)], 0),
        ([check(0, "record", True), check(2, "blindness", True)], 0),
        ([check(0, "record", True), check(1, "accuracy", True), check(2, "blindness", None)], 1),
        ([check(0, "record", True), check(1, "accuracy", True), check(2, "blindness", True)], 2),
    ],
)
def test_reached__is_the_highest_level_that_held_whole(checks: Sequence[Check], level: int | None) -> None:
    assert reached(checks) == level


def test_verify__notes_the_level_and_nothing_of_a_run_that_does_not_hold(tmp_path: Path) -> None:
    small = ("--dataset", "digits", "--budget", "smoke", "--set", "batch_size=32", "--threads", "1")
    made = CliRunner().invoke(main, ["run", "--plugin", "noise", *small, "--out", str(tmp_path / "runs"), "--json"])
    assert made.exit_code == 0, made.output
    run = tmp_path / "runs" / str(json.loads(made.stdout)[0]["run_id"])
    entry = tmp_path / "board" / "entries" / run.name
    entry.mkdir(parents=True)
    for name in ("plan.json", "result.json"):
        shutil.copy(run / name, entry / name)
    command = ["verify", str(run), "--leaderboard", str(tmp_path / "board")]

    student = run / "student.safetensors"
    whole = student.read_bytes()
    student.write_bytes(whole[:-1])
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1, done.output
    assert "no level holds" in done.stderr
    assert read_entry(entry).verified == "none"

    student.write_bytes(whole)
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert f"says L1 of {run.name}" in done.stderr
    assert read_entry(entry).verified == "L1"

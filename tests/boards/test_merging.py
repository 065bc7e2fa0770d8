"""Merging a third party's board, comparing two, and bringing an old one up to date."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.definition import FILE
from dfkdbench.boards.entries import read_entry, scan_entries
from dfkdbench.boards.migrations import STEPS, migrated
from dfkdbench.cli import main
from dfkdbench.errors import IntegrityError
from dfkdbench.files import sha256_of
from dfkdbench.records import SCHEMA

Make = Callable[..., Any]


def call(*words: object) -> Outcome:
    return CliRunner().invoke(main, ["leaderboard", *map(str, words)])


@pytest.fixture
def other(board: Path, tmp_path: Path) -> Path:
    """Another board with the same rules."""
    folder = tmp_path / "other"
    folder.mkdir()
    shutil.copy(board / FILE, folder / FILE)
    return folder


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / FILE).read_text()
    assert old in text
    (folder / FILE).write_text(text.replace(old, new))


def test_merge__takes_what_is_new_and_holds(board: Path, other: Path, make_entry: Make) -> None:
    shared, mine, theirs = (make_entry(seed=seed) for seed in range(3))
    for made in (shared, mine):
        made.write(board)
    for made in (shared, theirs):
        made.write(other)
    (other / "entries" / "broken").mkdir()
    folder = other / "entries" / theirs.run_id
    sheet = {"schema": 1, "level": "L3", "result_sha256": sha256_of((folder / "result.json").read_bytes())}
    (folder / "verification.json").write_text(json.dumps(sheet))
    done = call("merge", board, other)
    assert done.exit_code == 1
    assert done.stdout == (
        "broken: plan.json and result.json are missing.\n"
        "Took 1 entries; 1 were there; 1 were left out.\n"
        f"Run: dfkdbench leaderboard build {board}\n"
    )
    entries, problems = scan_entries(board)
    assert ({entry.run_id for entry in entries}, problems) == ({shared.run_id, mine.run_id, theirs.run_id}, [])
    assert {entry.verified for entry in entries} == {"none"}
    assert call("merge", other, board).exit_code == 0
    assert len(scan_entries(other)[0]) == 3


def test_merge__old_and_new_form_of_one_record_are_the_same(board: Path, other: Path, make_entry: Make) -> None:
    make_entry().write(board)
    old_record(make_entry).write(other)
    assert call("merge", board, other).stdout == "Took 0 entries; 1 were there; 0 were left out.\n"


def test_merge__keeps_our_record_of_a_run_and_our_first_seed(board: Path, other: Path, make_entry: Make) -> None:
    ours, seed = make_entry(seed=0), make_entry(seed=1)
    for made in (ours, seed):
        made.write(board)
    changed = make_entry(seed=0)
    changed.result["train_seconds"] = 1.0
    earlier = make_entry(seed=1, device="cuda")
    earlier.result["finished_at"] = "2026-01-01T00:00:00+00:00"
    for made in (changed, earlier):
        made.write(other)
    done = call("merge", board, other)
    assert f"{ours.run_id}: The board has another result.json of {ours.run_id}." in done.stdout
    assert f"{earlier.run_id}: Seed 1 of the same settings is there already: {seed.run_id}." in done.stdout
    assert {entry.run_id for entry in scan_entries(board)[0]} == {ours.run_id, seed.run_id}


def test_merge__takes_plain_settings_that_are_missing(
    board: Path, other: Path, make_entry: Make, keep_plain: Callable[..., None]
) -> None:
    keep_plain("toy")
    shutil.move(board / "methods", other / "methods")
    make_entry().write(other)
    assert call("merge", board, other).exit_code == 0
    assert load_board(board).tables[0].rows[0].method == "toy"
    keep_plain("toy", batch_size=3)
    done = call("merge", board, other)
    assert "methods/toy-lab/toy-1-digits-lenet_s-lenet_xs-quick.json: Other plain settings are here" in done.stdout
    assert load_board(board).tables[0].rows[0].settings == ("batch_size=64",)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"2026.1"', '"2027.1"', "it is of protocol 2027.1, this one of 2026.1."),
        ("b" * 64, "d" * 64, "has the teacher dddddddddddd there and bbbbbbbbbbbb here."),
        ("c" * 64, "d" * 64, "digits lenet_s:lenet_xs is judged on another test set there."),
        ("student_samples = 1000", "student_samples = 9", "the budget quick of digits lenet_s:lenet_xs is another one"),
    ],
    ids=["protocol", "teacher", "test-set", "budget"],
)
def test_merge__refuses_other_rules_whole(
    board: Path, other: Path, make_entry: Make, old: str, new: str, reason: str
) -> None:
    edit(other, old, new)
    make_entry().write(other)
    done = call("merge", board, other)
    assert done.exit_code == 2
    assert f"'{other}' can't be merged into '{board}': " in done.stderr
    assert reason in done.stderr
    assert scan_entries(board) == ([], [])


def test_merge__leaves_out_cells_that_are_not_here(board: Path, other: Path, make_entry: Make) -> None:
    edit(other, 'pair = "lenet_s:lenet_xs"', 'pair = "lenet_s:lenet_s"')
    made = make_entry().changed(plan={"pair": "lenet_s:lenet_s"}, result={"pair": "lenet_s:lenet_s"})
    made.write(other)
    done = call("merge", board, other)
    assert f"{made.run_id}: The board has no cell digits lenet_s:lenet_s." in done.stdout


def test_merge__with_itself(board: Path) -> None:
    assert "are one board" in call("merge", board, board).stderr


def test_diff__rows_added_removed_and_changed(board: Path, other: Path, make_entry: Make) -> None:
    for seed in range(3):
        make_entry("same", seed).write(board)
        make_entry("same", seed).write(other)
        make_entry("grown", seed, 80.0 + seed).write(other)
    for seed in range(2):
        make_entry("grown", seed, 80.0 + seed).write(board)
    make_entry("gone").write(board)
    make_entry("come").write(other)
    changes = json.loads(call("diff", board, other, "--json").stdout)
    found = {(change["kind"], change["method"].split()[0]): change["fields"] for change in changes}
    assert set(found) == {("removed", "gone"), ("added", "come"), ("changed", "grown")}
    grown = found["changed", "grown"]
    assert grown["rank"] == [None, 2]
    assert grown["mean"] == [80.5, 81.0]
    assert grown["seeds"] == ["0 1", "0 1 2"]
    shown = call("diff", board, other).stdout
    assert "rank - -> 2; mean 80.50 -> 81.00; " in shown
    assert call("diff", board, board).stdout == "The rows are the same.\n"


def test_steps__lead_to_the_schema_of_today() -> None:
    assert sorted(STEPS) == list(range(SCHEMA))


def old_record(make_entry: Make) -> Any:
    """An entry of the time before records carried a number."""
    made = make_entry()
    del made.result["schema_version"]
    for evaluation in made.result["evaluations"]:
        del evaluation["index"], evaluation["replay_bytes"]
    return made


def test_old_record__is_read_as_it_is(board: Path, make_entry: Make) -> None:
    folder = old_record(make_entry).write(board)
    before = (folder / "result.json").read_bytes()
    assert [each.index for each in read_entry(folder).result.evaluations] == [0, 1, 2]
    assert load_board(board).entries == 1
    assert (folder / "result.json").read_bytes() == before


def test_migrate__rewrites_old_records_once(board: Path, make_entry: Make) -> None:
    folder = old_record(make_entry).write(board)
    fresh = make_entry(seed=1).write(board)
    untouched = (fresh / "result.json").read_bytes()
    sheet = {"schema": 1, "level": "L1", "result_sha256": sha256_of((folder / "result.json").read_bytes())}
    (folder / "verification.json").write_text(json.dumps(sheet))
    built = load_board(board)
    done = call("migrate", board)
    assert done.stdout == "Rewrote 1 record(s), added 0 file(s) of plain settings.\n"
    assert "methods/toy-lab/toy-1-digits-lenet_s-lenet_xs-quick.json stays missing" in done.stderr
    assert json.loads((folder / "result.json").read_text())["schema_version"] == SCHEMA
    assert (fresh / "result.json").read_bytes() == untouched
    assert load_board(board) == built
    assert read_entry(folder).verified == "L1"
    assert call("migrate", board).stdout.startswith("Rewrote 0 record(s)")


def test_migrate__adds_plain_settings_of_installed_methods(board: Path, make_entry: Make) -> None:
    make_entry("noise", distribution="dfkdbench").write(board)
    make_entry("noise", seed=1, distribution="dfkdbench", method_version="0").write(board)
    done = call("migrate", board)
    assert done.stdout == "Rewrote 0 record(s), added 1 file(s) of plain settings.\n"
    assert "methods/dfkdbench/noise-0-digits-lenet_s-lenet_xs-quick.json stays missing" in done.stderr


def test_migrate__tells_what_it_can_not_read(board: Path, make_entry: Make) -> None:
    made = old_record(make_entry)
    del made.result["evaluations"]
    made.write(board)
    words = f"{made.run_id}: result.json is no record of schema 0: KeyError('evaluations').\n"
    assert call("migrate", board).stdout.startswith(words)


def test_migrated__walks_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfkdbench.boards.migrations.SCHEMA", 3)
    steps = {number: lambda tree, number=number: {**tree, f"step{number}": True} for number in range(3)}
    given = {"schema_version": 1}
    assert migrated(given, steps) == {"schema_version": 3, "step1": True, "step2": True}
    assert given == {"schema_version": 1}
    with pytest.raises(IntegrityError, match="schema 4; this dfkdbench reads up to 3"):
        migrated({"schema_version": 4}, steps)

"""Entries are strangers' files: what holds is taken, anything else is one sentence and stops nothing."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.entries import LARGEST, read_entry, scan_entries
from dfkdbench.errors import IntegrityError
from dfkdbench.files import sha256_of

Make = Callable[..., Any]


def picture(width: int = 8, height: int = 8) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", width, height) + b"\0" * 9


def replace(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")


def problem_of(board: Path) -> str:
    """The only problem of a board with two entries, of which the other holds."""
    entries, problems = scan_entries(board)
    assert [entry.result.seed for entry in entries] == [1]
    (problem,) = problems
    assert "\n" not in problem.message
    assert str(board) not in problem.message
    return problem.message


@pytest.fixture
def entry(board: Path, make_entry: Make) -> Path:
    """An entry to break, beside one that holds."""
    make_entry(seed=1).write(board)
    folder: Path = make_entry(seed=0).write(board)
    return folder


def test_entry__that_holds(board: Path, make_entry: Make) -> None:
    made = make_entry(seed=3, accuracy=91.0)
    found = read_entry(made.write(board))
    assert (found.run_id, found.result.accuracy_final, found.finished) == (made.run_id, 91.0, True)
    assert (found.verified, found.thumbnail) == ("none", False)


def test_settings__are_equal_for_other_seeds_and_devices_alone(board: Path, make_entry: Make) -> None:
    same = [make_entry(seed=0), make_entry(seed=1), make_entry(seed=2, device="cuda")]
    other = [make_entry(seed=0, settings={"batch_size": 32}), make_entry(seed=0, engine="3")]
    hashes = [read_entry(made.write(board)).settings for made in (*same, *other)]
    assert len(set(hashes[:3])) == 1
    assert len(set(hashes)) == 3


@pytest.mark.parametrize(
    "more",
    [
        {"agreement": 97.5, "ece": 0.02, "worst_class": 81.0},
        {"tuning": {"trials": 3, "seeds": [10, 11]}, "threads": 2},
        {"versions": {"torch": "2.15.0", "dfkdbench-toy": "0.1"}},
        {"note": "π ≈ 3.14", "later": None},
    ],
    ids=["figures", "tuning", "versions", "words"],
)
def test_entry__may_say_more_within_its_schema(board: Path, make_entry: Make, more: dict[str, Any]) -> None:
    made = make_entry().changed(result=more, plan={"later": more})
    made.result["evaluations"][0] |= more
    plain = make_entry(seed=1)
    for each in (made, plain):
        each.write(board)
    entries, problems = scan_entries(board)
    assert (len(entries), problems) == (2, [])


@pytest.mark.parametrize("key", ["run_id", "accuracy_final", "evaluations", "isolation", "student_sha256", "seed"])
def test_record__must_have_what_is_needed(entry: Path, board: Path, key: str) -> None:
    tree = json.loads((entry / "result.json").read_text())
    del tree[key]
    (entry / "result.json").write_text(json.dumps(tree))
    assert problem_of(board) == f"result.json is no record of a run: {key} is missing."


@pytest.mark.parametrize("key", ["recipe", "teachers", "slots", "budget", "test_set_sha256", "access"])
def test_plan__must_have_what_is_needed(entry: Path, board: Path, key: str) -> None:
    tree = json.loads((entry / "plan.json").read_text())
    del tree[key]
    (entry / "plan.json").write_text(json.dumps(tree))
    assert problem_of(board) == f"plan.json is no plan of a run: {key} is missing."


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"accuracy_final": 90.0', '"accuracy_final": NaN', "NaN is no finite number"),
        ('"accuracy_final": 90.0', '"accuracy_final": -Infinity', "-Infinity is no finite number"),
        ('"accuracy_final": 90.0', '"accuracy_final": 1e999', "a number is not finite"),
        ('"accuracy_final": 90.0', '"accuracy_final": 101.0', "accuracy_final is 101.0; Input should be less than"),
        ('"accuracy_final": 90.0', '"accuracy_final": true', "accuracy_final is True; Input should be a valid number"),
        ('"accuracy_final": 90.0', '"accuracy_final": "90"', "accuracy_final is '90'; Input should be a valid number"),
        ('"seed": 0', '"seed": -1', "seed is -1; Input should be greater than"),
        ('"seed": 0', f'"seed": 1{"0" * 5000}', "is no whole JSON file"),
        ('"seed": 0', '"seed": 99999999999999999999', "a number is out of range"),
        ('"seed": 0', '"seed": 0, "seed": 0', "a key stands there twice"),
        ('"seed": 0', '"seed": 0, "<b>": 0', "'<b>' is no key"),
        ('"seed": 0', '"seed": 0, "deep": ' + "[" * 40 + "]" * 40, "nested deeper than 16 levels"),
        ('"seed": 0', '"seed": 0, "deep": ' + "[" * 60_000 + "]" * 60_000, "is no whole JSON file"),
        ('"seed": 0', '"seed": 0, "long": [' + "0," * 50_000 + "0]", "more than 50,000 values"),
        ('"seed": 0', '"seed": 0, "text": "' + "x" * 10_001 + '"', "longer than 10,000 letters"),
        ('"seed": 0', '"seed": 0, "half": "\\ud800"', "is no whole JSON file"),
        ('"schema_version": 1', '"schema_version": 2', "schema 2; this dfkdbench reads up to 1. Take a newer"),
        ('"schema_version": 1', '"schema_version": "1"', "schema_version is no whole number"),
        ('"schema_version": 1', '"schema_version": true', "schema_version is no whole number"),
        ('"hardware": "Toy', '"hardware": "\\n# Toy', "hardware is "),
        ('"status": "finished"', '"status": "<script>"', "status is '<script>'"),
        ('"plugin": "toy"', '"plugin": "toy|x"', "plugin is 'toy|x'"),
        ("{", "", "is no whole JSON file"),
        ("{", "[{", "is no whole JSON file"),
    ],
)  # fmt: skip
def test_record__with_a_mistake(entry: Path, board: Path, old: str, new: str, told: str) -> None:
    replace(entry, "result.json", old, new)
    assert told in problem_of(board)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"\x00" * 64], ids=repr)
@pytest.mark.parametrize("name", ["plan.json", "result.json"])
def test_file__torn(entry: Path, board: Path, name: str, content: bytes) -> None:
    (entry / name).write_bytes(content)
    assert problem_of(board).startswith(f"{name} is no whole JSON file: ")


def test_file__half_written(entry: Path, board: Path) -> None:
    data = (entry / "result.json").read_bytes()
    (entry / "result.json").write_bytes(data[: len(data) // 2])
    assert problem_of(board).startswith("result.json is no whole JSON file: ")


@pytest.mark.parametrize("name", ["plan.json", "result.json", "samples.png", "verification.json"])
def test_file__too_large(entry: Path, board: Path, name: str) -> None:
    with (entry / name).open("wb") as file:
        file.truncate(LARGEST[name] + 1)
    assert f"{name} has {LARGEST[name] + 1} bytes, at most {LARGEST[name]} were expected" in problem_of(board)


@pytest.mark.parametrize("name", ["plan.json", "result.json"])
def test_file__missing(entry: Path, board: Path, name: str) -> None:
    (entry / name).unlink()
    assert problem_of(board) == f"{name} is missing."


def test_file__that_does_not_belong_there(entry: Path, board: Path) -> None:
    (entry / "sitecustomize.py").write_text("print('hello')")
    assert problem_of(board).startswith("It holds sitecustomize.py; an entry holds ")


def test_link__is_not_followed(entry: Path, board: Path, tmp_path: Path) -> None:
    (entry / "result.json").rename(tmp_path / "elsewhere.json")
    (entry / "result.json").symlink_to(tmp_path / "elsewhere.json")
    assert problem_of(board).startswith("Can't read result.json: ")


def test_folder__that_is_a_link_or_a_file(board: Path, make_entry: Make, tmp_path: Path) -> None:
    made = make_entry()
    made.write_to(tmp_path / made.run_id)
    (board / "entries").mkdir()
    (board / "entries" / made.run_id).symlink_to(tmp_path / made.run_id)
    (board / "entries" / "file").write_text("")
    entries, problems = scan_entries(board)
    assert entries == []
    assert {problem.message for problem in problems} == {
        "It is no folder; an entry is one with plan.json and result.json."
    }


def test_folder__of_another_name(board: Path, make_entry: Make) -> None:
    make_entry(seed=1).write(board)
    made = make_entry(seed=0)
    made.write_to(board / "entries" / "copy")
    assert problem_of(board) == f"The folder has another name than the run of its record, {made.run_id}."


def test_folder__with_a_name_that_is_markup(board: Path, make_entry: Make) -> None:
    make_entry().write_to(board / "entries" / "\u202e<b>\n`x")
    (problem,) = scan_entries(board)[1]
    assert problem.entry == "\\u202e<b> `x"


def test_plan__changed_afterwards_is_not_the_one_of_its_id(entry: Path, board: Path) -> None:
    replace(entry, "plan.json", '"batch_size": 64', '"batch_size": 65')
    assert problem_of(board).startswith("plan.json is the plan of toy-digits-lenet_s-lenet_xs-s0-")


def test_hidden_folder__is_being_written(board: Path, make_entry: Make) -> None:
    make_entry().write_to(board / "entries" / ".123-x")
    assert scan_entries(board) == ([], [])


def test_thumbnail__is_a_small_png(entry: Path, board: Path) -> None:
    (entry / "samples.png").write_bytes(picture())
    assert all(found.thumbnail == (found.result.seed == 0) for found in scan_entries(board)[0])
    (entry / "samples.png").write_bytes(b"<svg onload='alert(1)'/>" * 2)
    assert problem_of(board) == "samples.png is no PNG picture."
    (entry / "samples.png").write_bytes(picture(30_000, 30_000))
    assert problem_of(board).startswith("samples.png has 30000 x 30000 pixels")


def test_verification__is_of_this_record(entry: Path, board: Path) -> None:
    digest = sha256_of((entry / "result.json").read_bytes())
    sheet = {"schema": 1, "level": "L2", "result_sha256": digest}
    (entry / "verification.json").write_text(json.dumps(sheet))
    assert read_entry(entry).verified == "L2"
    (entry / "verification.json").write_text(json.dumps({**sheet, "result_sha256": "0" * 64}))
    assert problem_of(board).startswith("verification.json is of another record than result.json")
    (entry / "verification.json").write_text(json.dumps({**sheet, "level": "L9"}))
    assert problem_of(board).startswith("verification.json: level is 'L9'")


def test_bad_entries__break_no_build(board: Path, make_entry: Make) -> None:
    for seed in range(3):
        make_entry(seed=seed).write(board)
    for name in ("empty", "torn"):
        (board / "entries" / name).mkdir()
    (board / "entries" / "torn" / "plan.json").write_text("{")
    built = load_board(board)
    assert built.entries == 3
    assert [left.entry for left in built.left_out] == ["empty", "torn"]
    assert built.tables[0].rankings[0].rows[0].rank == 1


def test_error__names_no_folder_of_this_machine(entry: Path) -> None:
    (entry / "plan.json").unlink()
    (entry / "plan.json").symlink_to("/nowhere")
    with pytest.raises(IntegrityError) as caught:
        read_entry(entry)
    assert "/" not in caught.value.message

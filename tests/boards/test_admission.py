"""Which entries a board takes, and how the others are told."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfkdbench.boards.assembly import all_problems, load_board, read_contents
from dfkdbench.boards.definition import FILE

Make = Callable[..., Any]
CORE = {"distribution": "dfkdbench"}
REAL = {**CORE, "side": "judge", "access": ["real_samples"], "league": "real-samples"}


def told(board: Path, now: datetime.datetime | None = None) -> list[str]:
    return [problem.message for problem in all_problems(read_contents(board), now)]


def edit(board: Path, old: str, new: str) -> None:
    text = (board / FILE).read_text()
    assert old in text
    (board / FILE).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("plan", "result", "words"),
    [
        (
            {"protocol": "2027.1"},
            {"protocol": "2027.1", "finished_at": "2027-03-01T00:00:00+00:00"},
            "of protocol 2027.1; this board is of 2026.1",
        ),
        (
            {"pair": "lenet_s:lenet_s"},
            {"pair": "lenet_s:lenet_s"},
            "no cell digits lenet_s:lenet_s. There are: digits lenet_s:lenet_xs.",
        ),
        (
            {"teachers": [{"name": "t", "sha256": "d" * 64}]},
            {"teacher_sha256": "d" * 64},
            "another teacher than the board's digits lenet_s:lenet_xs: dddddddddddd instead of bbbbbbbbbbbb.",
        ),
        ({"test_set_sha256": "d" * 64}, {}, "judged on another test set than the board's (dddddddddddd...)."),
        ({}, {"teacher_accuracy": 98.0}, "Its teacher has 98.0 %, the board's card says 99.0 %."),
    ],
    ids=["protocol", "cell", "teacher", "test-set", "teacher-accuracy"],
)
def test_entry__of_something_else(
    board: Path, make_entry: Make, plan: dict[str, Any], result: dict[str, Any], words: str
) -> None:
    make_entry().changed(plan=plan, result=result).write(board)
    (message,) = told(board)
    assert words in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "paper"}, "It is of budget paper; the board's for digits lenet_s:lenet_xs: quick."),
        ({"student_samples": 2000}, "Its budget quick has 2,000 student samples, the board's has 1,000."),
        ({"evaluations": 9}, "Its budget quick has 9 evaluations, the board's has 3."),
    ],
)
def test_entry__of_another_budget(board: Path, make_entry: Make, change: dict[str, Any], words: str) -> None:
    made = make_entry()
    budget = {**made.plan["budget"], **change}
    made.changed(plan={"budget": budget}, result={"budget": budget["name"]}).write(board)
    assert told(board) == [words]


def test_open_cell__takes_nothing_and_says_why(board: Path, make_entry: Make) -> None:
    edit(board, 'test_set_sha256 = "' + "c" * 64 + '"\n', "")
    make_entry().write(board)
    (message,) = told(board)
    assert "is not pinned yet: its teachers and test_set_sha256 are missing in leaderboard.toml" in message
    assert not load_board(board).tables[0].pinned


def test_open_cell__hides_no_pinned_one(board: Path, make_entry: Make) -> None:
    text = (board / FILE).read_text()
    start, cell = text.split("[[cells]]")
    unpinned = "\n".join(line for line in cell.splitlines() if not line.startswith(("test_set", "teachers")))
    (board / FILE).write_text(f"{start}[[cells]]{unpinned}\n\n[[cells]]{cell}")
    make_entry().write(board)
    assert told(board) == []
    assert [len(table.rows) for table in load_board(board).tables] == [0, 1]


def test_board_of_one_league__takes_that_and_controls(board: Path, make_entry: Make) -> None:
    edit(board, "minimum_seeds = 3", 'league = "features"')
    make_entry("rich", access=["features", "soft_labels"], league="features").write(board)
    make_entry("poor").write(board)
    make_entry("noise", **CORE).write(board)
    make_entry("noise", seed=1, distribution="copycat").write(board)
    assert told(board) == ["It is of the league soft-labels; this board ranks features."] * 2
    table = load_board(board).tables[0]
    assert [row.plugin for row in table.rows] == ["rich", "noise"]


def test_same_seed_twice__the_first_counts(board: Path, make_entry: Make) -> None:
    first, second = make_entry(), make_entry(accuracy=99.0, device="cuda")
    second.result["finished_at"] = "2026-04-01T00:00:00+00:00"
    for made in (second, first):
        made.write(board)
    assert told(board) == [f"Seed 0 of the same settings is there already: {first.run_id}."]
    assert load_board(board).tables[0].rows[0].mean == 90.0


def test_same_student_as_another_seed__is_a_copy(board: Path, make_entry: Make) -> None:
    first, copy = make_entry(seed=0), make_entry(seed=1)
    copy.result["student_sha256"] = copy.result["evaluations"][-1]["sha256"] = first.result["student_sha256"]
    for made in (first, copy):
        made.write(board)
    assert told(board) == [f"Its student is that of {first.run_id}, a run of another seed or cell."]


def test_same_student_with_other_settings__may_be(board: Path, make_entry: Make) -> None:
    first, same = make_entry(seed=0), make_entry(seed=0, settings={"of_no_effect": 1})
    same.result["student_sha256"] = same.result["evaluations"][-1]["sha256"] = first.result["student_sha256"]
    for made in (first, same):
        made.write(board)
    assert told(board) == []


def test_future__is_seen_by_checks_and_no_matter_of_builds(board: Path, make_entry: Make) -> None:
    make_entry().changed(result={"finished_at": "2026-06-01T12:00:00+00:00"}).write(board)
    noon = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
    assert told(board, noon) == told(board) == []
    before = noon - datetime.timedelta(hours=1)
    assert told(board, before) == ["It was finished at 2026-06-01T12:00:00+00:00, which lies in the future."]
    assert load_board(board).entries == 1


def test_several_teachers__are_a_cell_of_their_own(board: Path, make_entry: Make) -> None:
    text = (board / FILE).read_text()
    cell = text[text.index("[[cells]]") :].replace(
        "teachers = [", 'teachers = [{ name = "other", sha256 = "' + "d" * 64 + '", accuracy = 98.0 }, '
    )
    (board / FILE).write_text(text + cell)
    both = [{"name": "other", "sha256": "d" * 64}, {"name": "digits-lenet_s-s0", "sha256": "b" * 64}]
    make_entry().write(board)
    two = make_entry("pair", teachers=both)
    two.result["teacher_accuracy"] = 98.0
    two.write(board)
    one, several = load_board(board).tables
    assert ([row.plugin for row in one.rows], [row.plugin for row in several.rows]) == (["toy"], ["pair"])
    assert one.key == "digits-lenet_s-lenet_xs-quick"
    assert several.key == "digits-lenet_s-lenet_xs-quick-dddddddd-bbbbbbbb"
    assert several.title == "digits lenet_s:lenet_xs, 2 teachers, quick"
    assert "--teachers 2" in several.rows[0].command


def test_control__on_real_data_is_taken(board: Path, make_entry: Make) -> None:
    make_entry("scratch", **REAL).write(board)
    assert told(board) == []
    assert [row.unranked for row in load_board(board).tables[0].controls] == ["control"]


def test_entry__of_several_processes_where_the_rules_say_so(board: Path, make_entry: Make) -> None:
    several = {"processes": 4, "batch_statistics": "synchronised"}
    make_entry().changed(plan=several, result=several).write(board)
    assert told(board) == [
        "It was done by 4 processes; this board takes runs of one process. Its host may say otherwise: "
        "processes = 4 in leaderboard.toml."
    ]
    edit(board, "minimum_seeds", "processes = 2\nminimum_seeds")
    (message,) = told(board)
    assert "this board takes runs of 2 processes at most" in message
    edit(board, "processes = 2", "processes = 4")
    assert told(board) == []
    (row,) = load_board(board).tables[0].rankings[0].rows
    assert row.parts[-2:] == ("--processes 4", "--batch-statistics synchronised")
    assert "--processes 4 --batch-statistics synchronised" in row.command


def test_entry__whose_record_has_other_processes_than_its_plan(board: Path, make_entry: Make) -> None:
    make_entry().changed(result={"processes": 2}).write(board)
    (message,) = told(board)
    assert "processes is 2 in result.json and 1 in plan.json" in message

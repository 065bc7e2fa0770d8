"""Forgeries that a plan and a record give away by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfkdbench.boards.entries import scan_entries

Make = Callable[..., Any]


def told(board: Path, made: Any) -> str:
    made.write(board)
    entries, problems = scan_entries(board)
    assert entries == []
    (problem,) = problems
    return problem.message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"accuracy_final": 95.0, "accuracy_oracle": 95.0}, "accuracy_final is 95.0, the last evaluation says 90.0"),
        ({"accuracy_oracle": 95.0}, "accuracy_oracle is 95.0, the evaluations give 90.0"),
        ({"accuracy_mean": 89.0}, "accuracy_mean is 89.0, the evaluations give 66."),
        ({"accuracy_variance": 0.0}, "accuracy_variance is 0.0, the evaluations give 288."),
        ({"accuracy_last5": 90.0}, "accuracy_last5 is 90.0, the evaluations give 66."),
        ({"worst_drop": 3.0}, "worst_drop is 3.0, the evaluations give 0.0"),
        ({"accuracy_mean": None}, "accuracy_mean is None, the evaluations give 66."),
        ({"accuracy_final": None}, "The run finished, and its record lacks the final accuracy"),
        ({"student_sha256": None}, "lacks the final accuracy or the hash of the student"),
        ({"student_sha256": "b" * 64}, "The student is the teacher's file"),
        ({"student_sha256": "d" * 64}, "The last evaluation is of another student than the record's"),
        ({"status": "diverged"}, "The run ended as diverged, and its record has a final accuracy or a student"),
        ({"student_samples": 1001}, "1,001 student samples, the budget quick allows 1,000"),
        ({"student_samples": 900}, "student_samples is 900, the last evaluation says 960"),
        ({"teacher_queries": 3}, "teacher_queries is 3, the last evaluation says 1,200"),
        ({"isolation": "none: in process"}, "It ran in the judge's process, for debugging"),
        ({"isolation": "none: control on real data"}, "and the run's side is the worker's"),
        ({"finished_at": "yesterday"}, "finished_at is yesterday, expected a date and time"),
        ({"finished_at": "2026-03-01T00:00:00"}, "expected a time with its zone"),
        ({"finished_at": "1970-01-01T00:00:00+00:00"}, "which is no date of protocol 2026.1"),
        ({"finished_at": "9999-01-01T00:00:00+00:00"}, "which is no date of protocol 2026.1"),
        ({"readout": "attention"}, "Its readout was fitted on real samples, and its league does not say so"),
        ({"dataset": "mnist"}, "dataset is mnist in result.json and digits in plan.json"),
        ({"league": "hard-labels"}, "league is hard-labels in result.json and soft-labels in plan.json"),
        ({"teacher_sha256": "e" * 64}, "in result.json and " + "b" * 64 + " in plan.json"),
        ({"seed": 7}, "seed is 7 in result.json and 0 in plan.json"),
    ],
)
def test_record__that_does_not_hold(board: Path, make_entry: Make, fields: dict[str, Any], words: str) -> None:
    made = make_entry()
    made.result.update(fields)
    assert words in told(board, made)


@pytest.mark.parametrize(
    ("index", "fields", "words"),
    [
        (1, {"index": 2}, "evaluation 1 has the index 2"),
        (1, {"student_steps": 9}, "evaluation 1 is after 9 steps, the plan says 10"),
        (2, {"seconds": 1.0}, "seconds falls from evaluation 1 to 2"),
        (2, {"teacher_queries": 1}, "teacher_queries falls from evaluation 1 to 2"),
    ],
)
def test_curve__that_does_not_hold(
    board: Path, make_entry: Make, index: int, fields: dict[str, Any], words: str
) -> None:
    made = make_entry()
    made.result["evaluations"][index].update(fields)
    assert words in told(board, made)


@pytest.mark.parametrize("count", [0, 2])
def test_curve__too_short(board: Path, make_entry: Make, count: int) -> None:
    made = make_entry()
    del made.result["evaluations"][count:]
    assert f"{count} evaluations, the plan has 3" in told(board, made)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"league": "hard-labels"}, "The league is hard-labels; what the run saw (soft_labels) makes it soft-labels"),
        ({"side": "judge"}, "a control on real samples, and this one says that it saw none"),
        ({"slots": {}}, "plan.json contradicts itself: the generator of the recipe is not the one that was built"),
        ({"losses": {"x": 0}}, "plan.json is no plan of a run: losses.x is 0"),
    ],
)
def test_plan__that_does_not_hold(board: Path, make_entry: Make, plan: dict[str, Any], words: str) -> None:
    made = make_entry()
    assert words in told(board, made.changed(plan=plan, result={"league": plan.get("league", "soft-labels")}))


def test_plan__with_another_part_than_it_says(board: Path, make_entry: Make) -> None:
    made = make_entry()
    recipe = {**made.plan["recipe"], "replay": {"name": "bank", "options": {}}}
    words = "plan.json contradicts itself: the replay of the recipe is not the one that was built"
    assert words in told(board, made.changed(plan={"recipe": recipe}))


def test_plan__with_another_loss_than_it_says(board: Path, make_entry: Make) -> None:
    made = make_entry(parts={"losses": {"one_hot": 1.0}})
    recipe = {**made.plan["recipe"], "losses": {"one_hot": {"weight": 2.0, "options": {}}}}
    words = "plan.json contradicts itself: the losses of the recipe are not those that were built"
    assert words in told(board, made.changed(plan={"recipe": recipe}))


def test_failed_run__keeps_what_it_had(board: Path, make_entry: Make) -> None:
    for seed, curve in enumerate(([], [40.0], [40.0, 30.0])):
        make_entry(seed=seed, accuracy=curve, status="diverged").write(board)
    make_entry(seed=9, accuracy=[40.0], status="eaten-by-a-later-version").write(board)
    entries, problems = scan_entries(board)
    assert ([entry.finished for entry in entries], problems) == ([False] * 4, [])


def test_readout__is_final_where_the_league_says_so(board: Path, make_entry: Make) -> None:
    made = make_entry(access=["soft_labels", "real_samples"], league="soft-labels+real-samples")
    made.result.update(readout="attention", accuracy_final=93.0, accuracy_oracle=93.0)
    made.write(board)
    entries, problems = scan_entries(board)
    assert ([entry.result.accuracy_final for entry in entries], problems) == ([93.0], [])

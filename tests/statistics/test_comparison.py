"""Groups compared: baselines, what is left out of aggregates and ranks, and why."""

from __future__ import annotations

import statistics

import pytest

from dfkdbench.statistics.cells import CellKey, Entry, Group, GroupKey
from dfkdbench.statistics.comparison import best_of, compare
from dfkdbench.statistics.paired import Tally

KEY = GroupKey("2026.1", "quick", "soft-labels")
Scores = dict[str, list[float]]


def cell(number: int, teacher: str = "b" * 64) -> CellKey:
    return CellKey(f"data{number}", "a:b", teacher)


def group_of(*cells: Scores) -> Group:
    """A group of one cell for each; seeds count from 0."""
    return Group(
        KEY,
        {
            cell(number): {name: Entry(name, dict(enumerate(values))) for name, values in scores.items()}
            for number, scores in enumerate(cells)
        },
    )


def many(count: int, **shift: float) -> list[Scores]:
    return [
        {name: [80.0 + number + by, 81.0 + number + by, 82.5 + number + by] for name, by in shift.items()}
        for number in range(count)
    ]


def test_best_of__highest_mean_of_those_with_seeds_enough() -> None:
    entries = {
        "lucky": Entry("lucky", {0: 99.0}),
        "good": Entry("good", {0: 95.0, 1: 93.0}),
        "poor": Entry("poor", {0: 94.0, 1: 93.0}),
        "failed": Entry("failed", {}, {0: "diverged"}),
    }
    assert best_of(entries) == "good"
    assert best_of({"lucky": entries["lucky"], "failed": entries["failed"]}) == "lucky"
    assert best_of({"failed": entries["failed"]}) is None


def test_pairings__against_the_best_of_each_cell() -> None:
    found = compare(group_of({"a": [90.0, 91.0], "b": [80.0, 81.0]}, {"a": [70.0, 71.0], "b": [75.0, 76.5]}))
    assert [(pair.cell.dataset, pair.method, pair.against) for pair in found.pairings] == [
        ("data0", "b", "a"),
        ("data1", "a", "b"),
    ]
    assert [pair.difference.interval.mean for pair in found.pairings] == [-10.0, -5.25]


def test_pairings__against_the_baseline_where_it_is() -> None:
    group = group_of({"a": [90.0, 91.0], "b": [80.0, 81.0], "c": [1.0, 2.0]}, {"a": [70.0, 71.0], "c": [75.0, 76.5]})
    found = compare(group, "b")
    assert [(pair.cell.dataset, pair.method, pair.against) for pair in found.pairings] == [
        ("data0", "a", "b"),
        ("data0", "c", "b"),
    ]
    assert found.tallies == {("a", "b"): Tally(1, 0, 0, 0), ("c", "b"): Tally(0, 0, 1, 0)}


def test_pairings__say_why_seeds_were_left_out() -> None:
    entries = {
        "a": Entry("a", {0: 90.0, 1: 91.0, 3: 90.0}, {2: "diverged", 4: "out-of-memory"}),
        "b": Entry("b", {0: 80.0, 1: 81.0, 2: 80.0}, {4: "diverged"}),
    }
    (pairing,) = compare(Group(KEY, {cell(0): entries})).pairings
    assert pairing.difference.seeds == (0, 1)
    assert pairing.left_out == (
        "seed 2: a diverged",
        "seed 3: b has no record",
        "seed 4: b diverged and a out-of-memory",
    )


def test_tallies__of_every_two_methods_over_cells() -> None:
    group = group_of(
        {"a": [90.0, 91.0], "b": [80.0, 81.0]},
        {"a": [90.0, 91.0], "b": [91.0, 90.0]},
        {"a": [10.0, 11.0], "b": [20.0, 21.0]},
        {"a": [10.0], "b": [20.0]},
        {"a": [10.0, 11.0], "c": [5.0, 6.0]},
    )
    found = compare(group)
    assert found.tallies == {("a", "b"): Tally(1, 1, 1, 1), ("a", "c"): Tally(1, 0, 0, 0)}


def test_aggregates__of_methods_with_a_result_in_every_shared_cell() -> None:
    cells = many(3, a=0.0, b=1.0)
    cells[1]["c"] = [1.0, 2.0]
    found = compare(group_of(*cells))
    assert set(found.aggregates) == {"a", "b"}
    means = [statistics.mean(scores["a"]) for scores in cells]
    assert found.aggregates["a"][0].value == pytest.approx(statistics.mean(means))
    assert found.left_out == {
        "c": "no result on data0 a:b teacher bbbbbbbb (no record); data2 a:b teacher bbbbbbbb (no record)"
    }
    assert found.fewest_seeds == 3


def test_aggregates__none_for_one_cell() -> None:
    assert compare(group_of(*many(1, a=0.0, b=1.0))).aggregates == {}


def test_cells_of_one_method__leave_nobody_out() -> None:
    group = group_of(*many(2, a=0.0, b=1.0), {"d": [50.0, 51.0]})
    found = compare(group)
    assert found.shared_cells == (cell(0), cell(1))
    assert set(found.aggregates) == {"a", "b"}
    assert set(found.left_out) == {"d"}


def test_cells_where_the_others_failed__leave_out_those_and_not_the_cell() -> None:
    group = group_of(*many(3, a=0.0, b=1.0))
    group.cells[cell(0)]["b"] = Entry("b", {}, {0: "diverged"})
    found = compare(group)
    assert len(found.shared_cells) == 3
    assert set(found.aggregates) == {"a"}
    assert found.left_out == {"b": "no result on data0 a:b teacher bbbbbbbb (every run failed: seed 0 diverged)"}


def test_left_out__names_failures_and_several_settings() -> None:
    group = group_of(*many(2, a=0.0, b=1.0, c=2.0, d=3.0))
    group.cells[cell(0)]["c"] = Entry("c", {}, {0: "diverged", 1: "out-of-memory"})
    del group.cells[cell(1)]["d"]
    group.cells[cell(1)].update({name: Entry(name, {0: 1.0}) for name in ("d#1", "d#2")})
    left_out = compare(group).left_out
    assert left_out["c"] == (
        "no result on data0 a:b teacher bbbbbbbb (every run failed: seed 0 diverged, seed 1 out-of-memory)"
    )
    assert left_out["d"] == "no result on data1 a:b teacher bbbbbbbb (several settings, d#1, d#2)"
    assert set(left_out) == {"c", "d", "d#1", "d#2"}


def test_ranks__at_eight_tasks_and_not_at_seven() -> None:
    found = compare(group_of(*many(8, a=0.0, b=1.0, c=2.0)))
    assert found.ranks.average_ranks == {"c": 1.0, "b": 2.0, "a": 3.0}
    assert found.refusal == ""
    refused = compare(group_of(*many(7, a=0.0, b=1.0, c=2.0)))
    assert refused.ranks is None
    assert "here there are 7" in refused.refusal


def test_ranks__teachers_of_one_pair_make_one_task() -> None:
    group = group_of(*many(7, a=0.0, b=1.0, c=2.0))
    for teacher in "cd":
        group.cells[cell(0, teacher * 64)] = group.cells[cell(0)]
    refused = compare(group)
    assert refused.ranks is None
    assert len(refused.shared_cells) == 9
    assert "here there are 7" in refused.refusal


def test_ranks__of_a_task_are_by_the_mean_over_its_teachers() -> None:
    group = group_of(*many(8, a=0.0, b=1.0, c=2.0))
    turned = {"a": [99.0] * 3, "b": [1.0] * 3, "c": [2.0] * 3}
    group.cells[cell(0, "c" * 64)] = {name: Entry(name, dict(enumerate(values))) for name, values in turned.items()}
    ranks = compare(group).ranks
    assert ranks.tasks == 8
    assert ranks.average_ranks == {"c": 9 / 8, "b": 17 / 8, "a": 22 / 8}


def test_nothing_to_compare() -> None:
    alone = compare(group_of({"a": [90.0, 91.0]}))
    assert (alone.pairings, alone.tallies, alone.aggregates, alone.ranks) == ((), {}, {}, None)
    failed = Group(KEY, {cell(0): {name: Entry(name, {}, {0: "diverged"}) for name in "ab"}})
    found = compare(failed)
    assert (found.pairings, found.shared_cells, found.ranks) == ((), (), None)
    assert "here there are none" in found.refusal

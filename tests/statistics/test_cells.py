"""Records sorted: what may be compared, what is averaged, and what failed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfkdbench.errors import ComparisonError
from dfkdbench.records import Result
from dfkdbench.statistics.cells import CellKey, Entry, GroupKey, Record, group_records

MakeRecord = Callable[..., Result]
CELL = CellKey("digits", "lenet_s:lenet_xs", "b" * 64)


@pytest.fixture
def record(make_record: MakeRecord) -> Callable[..., Record]:
    def make(plugin: str, seed: int, accuracy: float | None, settings: str = "s", **changes: Any) -> Record:
        result = make_record(plugin, seed, accuracy, **changes)
        return Record(result, Path("runs", result.run_id), settings)

    return make


def test_groups__keep_protocol_budget_and_league_apart(record: Callable[..., Record]) -> None:
    changes = [{}, {"protocol": "2027.1"}, {"budget": "paper"}, {"league": "features"}]
    records = [record("toy", 0, 90.0 + i, variant=str(i), **change) for i, change in enumerate(changes)]
    groups = group_records(records)
    assert [group.key for group in groups] == [
        GroupKey("2026.1", "paper", "soft-labels"),
        GroupKey("2026.1", "quick", "features"),
        GroupKey("2026.1", "quick", "soft-labels"),
        GroupKey("2027.1", "quick", "soft-labels"),
    ]
    assert [group.cells[CELL]["toy"].scores for group in groups] == [{0: 92.0}, {0: 93.0}, {0: 90.0}, {0: 91.0}]


def test_cells__keep_data_set_pair_and_teacher_apart(record: Callable[..., Record]) -> None:
    changes = [{}, {"dataset": "mnist"}, {"pair": "a:b"}, {"teacher_sha256": "c" * 64}]
    records = [record("toy", 0, 90.0, variant=str(i), **change) for i, change in enumerate(changes)]
    (group,) = group_records(records)
    assert set(group.cells) == {
        CELL,
        CELL._replace(dataset="mnist"),
        CELL._replace(pair="a:b"),
        CELL._replace(teacher_sha256="c" * 64),
    }
    assert list(group.cells) == sorted(group.cells)


def test_entries__other_settings_are_methods_of_their_own(record: Callable[..., Record]) -> None:
    records = [record("toy", 0, 90.0, "s1"), record("toy", 0, 80.0, "s2", variant="y"), record("noise", 0, 70.0, "s3")]
    (group,) = group_records(records)
    assert group.methods == ("noise", "toy#s1", "toy#s2")
    assert group.cells[CELL]["toy#s2"].scores == {0: 80.0}


def test_entries__failures_are_kept_by_seed(record: Callable[..., Record]) -> None:
    records = [
        record("toy", 0, 90.0),
        record("toy", 1, None),
        record("toy", 2, None, status="out-of-memory"),
        record("toy", 3, math.nan),
        record("toy", 4, None, status="finished"),
        record("toy", 5, 88.0, status="over-budget"),
    ]
    (group,) = group_records(records)
    entry = group.cells[CELL]["toy"]
    assert entry.scores == {0: 90.0}
    assert entry.failures == {
        1: "diverged",
        2: "out-of-memory",
        3: "without accuracy",
        4: "without accuracy",
        5: "over-budget",
    }
    assert [entry.absence(seed) for seed in (2, 9)] == ["toy out-of-memory", "toy has no record"]


def test_entries__where_none_finished_there_is_no_interval() -> None:
    assert Entry("toy", {}, {0: "diverged"}).interval is None


def test_entries__only_the_final_accuracy_counts(record: Callable[..., Record]) -> None:
    others = dict.fromkeys(["accuracy_oracle", "accuracy_mean", "accuracy_last5", "accuracy_ensemble"], 99.0)
    (group,) = group_records([record("toy", 0, 90.0, **others)])
    assert group.cells[CELL]["toy"].scores == {0: 90.0}


def test_same_run_twice__counts_once(record: Callable[..., Record]) -> None:
    once = record("toy", 0, 90.0)
    (group,) = group_records([once, once._replace(folder=Path("copies", "toy"))])
    assert group.cells[CELL]["toy"].scores == {0: 90.0}


@pytest.mark.parametrize("variant", ["x", "y"], ids=["same-id", "other-id"])
def test_same_seed_with_two_numbers__is_refused_naming_both(variant: str, record: Callable[..., Record]) -> None:
    first, second = record("toy", 0, 90.0), record("toy", 0, 91.0, variant=variant)
    with pytest.raises(ComparisonError, match=r"Seed 0 of toy on digits.* is there twice: runs/toy-.* and runs/toy-"):
        group_records([first, second])


def test_no_records() -> None:
    assert group_records([]) == []

"""Marginal effects: rows that differ in exactly one part, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.model import Effect

Make = Callable[..., Any]


def effects_of(board: Path) -> list[tuple[str, str, str, str, float]]:
    return [(each.part, each.name, each.before, each.after, each.mean) for each in found(board)]


def found(board: Path) -> Sequence[Effect]:
    (table,) = load_board(board).tables
    return table.effects


@pytest.fixture
def write(board: Path, make_entry: Make) -> Callable[..., None]:
    def write(accuracies: Sequence[float], **entry: Any) -> None:
        for seed, accuracy in enumerate(accuracies):
            make_entry(seed=seed, accuracy=accuracy, **entry).write(board)

    return write


def test_replay__against_none(board: Path, write: Callable[..., None]) -> None:
    write([90.0, 91.0, 92.0])
    write([91.0, 93.0, 95.0], parts={"replay": "bank"})
    write([89.0, 90.0, 91.0], parts={"replay": "archive"})
    assert effects_of(board) == [("replay", "", "none", "archive", -1.0), ("replay", "", "none", "bank", 2.0)]
    effect = found(board)[1]
    assert effect.half_width == pytest.approx(stats.t.ppf(0.975, 2) / math.sqrt(3), abs=1e-6)
    assert effect.seeds == (0, 1, 2)


def test_several_pairs__mean_of_their_means_over_common_seeds(board: Path, write: Callable[..., None]) -> None:
    write([90.0, 90.0, 90.0])
    write([91.0, 92.0, 93.0], parts={"replay": "bank"})
    write([80.0, 80.0], plugin="other", settings={"batch_size": 8})
    write([84.0, 86.0], plugin="other", settings={"batch_size": 8}, parts={"replay": "bank"})
    (effect,) = found(board)
    assert effect.mean == 3.5
    assert effect.seeds == (0, 1)
    assert effect.half_width == pytest.approx(stats.t.ppf(0.975, 1) * 1.5 / 2, abs=1e-6)
    assert [(pair.mean, pair.seeds) for pair in effect.pairs] == [(5.0, (0, 1)), (2.0, (0, 1, 2))]


@pytest.mark.parametrize(
    ("parts", "effect"),
    [
        ({"generator": "pixels"}, ("generator", "", "conv", "pixels", 1.0)),
        ({"aggregator": "mean"}, ("aggregator", "", "first", "mean", 1.0)),
        ({"combiner": "product"}, ("combiner", "", "sum", "product", 1.0)),
        ({"losses": {"one_hot": 1.0, "extra": 2.0}}, ("loss", "extra", "0", "2", 1.0)),
        ({"losses": {}}, ("loss", "one_hot", "0", "1", -1.0)),
        ({"losses": {"one_hot": 10.0}}, ("loss", "one_hot", "1", "10", 1.0)),
        ({"student_losses": {"kl": 1.0, "l1": 0.5}}, ("loss", "l1", "0", "0.5", 1.0)),
    ],
)
def test_every_part(board: Path, write: Callable[..., None], parts: dict[str, Any], effect: tuple[Any, ...]) -> None:
    base = {"losses": {"one_hot": 1.0}}
    write([90.0, 90.0], parts=base)
    write([91.0, 91.0], parts={**base, **parts})
    assert effects_of(board) == [effect]


@pytest.mark.parametrize(
    "other",
    [
        {"parts": {"replay": "bank", "generator": "pixels"}},
        {"parts": {"replay": "bank"}, "settings": {"batch_size": 8}},
        {"parts": {"replay": "bank"}, "engine": "3"},
        {"parts": {"replay": "bank"}, "access": ["features"], "league": "features"},
        {"settings": {"batch_size": 8}},
    ],
    ids=["two-parts", "part-and-setting", "other-engine", "other-league", "setting"],
)
def test_rows_that_differ_in_more_or_else__show_no_effect(
    board: Path, write: Callable[..., None], other: dict[str, Any]
) -> None:
    write([90.0, 90.0])
    write([91.0, 91.0], **other)
    assert effects_of(board) == []


def test_other_options_of_one_part__are_settings_and_no_effect(board: Path, make_entry: Make) -> None:
    make_entry(accuracy=90.0).write(board)
    made = make_entry(accuracy=91.0)
    made.plan["slots"]["generator"]["options"] = made.plan["recipe"]["generator"]["options"] = {"latent": 7}
    made.changed().write(board)
    assert effects_of(board) == []


def test_no_common_seed__no_effect(board: Path, make_entry: Make) -> None:
    make_entry(seed=0).write(board)
    make_entry(seed=1, parts={"replay": "bank"}).write(board)
    make_entry(seed=0, parts={"replay": "bank"}, accuracy=[], status="failed").write(board)
    assert effects_of(board) == []


def test_methods_with_other_names__count_where_all_else_is_the_same(board: Path, write: Callable[..., None]) -> None:
    write([90.0])
    write([92.0], plugin="toy-with-bank", parts={"replay": "bank"})
    assert effects_of(board) == [("replay", "", "none", "bank", 2.0)]
    (effect,) = found(board)
    assert effect.half_width is None


def test_controls__are_no_base(board: Path, write: Callable[..., None]) -> None:
    write([90.0], plugin="noise", distribution="dfkdbench")
    write([92.0], plugin="noise", distribution="dfkdbench", parts={"replay": "bank"})
    assert effects_of(board) == []

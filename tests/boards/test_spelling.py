"""Rows are called by what differs from the plain method, and their commands make them again."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfkdbench.boards.reading import ReadPlan
from dfkdbench.boards.spelling import Spelling, command_of, seed_list, spell

Make = Callable[..., Any]


@pytest.fixture
def spelled(make_entry: Make) -> Callable[..., Spelling]:
    """Spells an entry against a plain method with two losses and a replay fraction."""

    def make(parts: dict[str, Any] | None = None, recipe: dict[str, Any] | None = None, **plan: Any) -> Spelling:
        base = {"losses": {"one_hot": 1.0, "class_entropy": 5.0}}
        settings = {"replay_fraction": 0.25, "phases": {"distil": {"rounds": None, "generator_steps": 1}}}
        plain = make_entry(parts=base, settings=settings).plan["recipe"]
        plain["generator"]["options"] = {"latent": 100, "optimizer": {"lr": 0.01}}
        made = make_entry(parts={**base, **(parts or {})}, settings=settings)
        tree = {**made.plan["recipe"], "generator": plain["generator"], **(recipe or {})}
        if (parts or {}).get("generator"):
            tree["generator"] = {"name": parts["generator"], "options": {}}  # type: ignore[index]
        return spell(ReadPlan.model_validate({**made.plan, "recipe": tree, **plan}), plain)

    return make


@pytest.mark.parametrize(
    ("parts", "label"),
    [
        ({}, "toy"),
        ({"replay": "bank"}, "toy --replay bank"),
        ({"generator": "pixels", "replay": "bank"}, "toy --generator pixels --replay bank"),
        ({"aggregator": "mean"}, "toy --aggregator mean"),
        ({"combiner": "exponential"}, "toy --combiner exponential"),
        ({"losses": {"one_hot": 1.0}}, "toy --loss class_entropy=0"),
        ({"losses": {"one_hot": 0.1, "class_entropy": 5.0}}, "toy --loss one_hot=0.1"),
        ({"losses": {"one_hot": 1.0, "class_entropy": 5.0, "batch_norm": 1.0}}, "toy --loss batch_norm=1"),
        ({"losses": {"one_hot": 1.0, "class_entropy": -1e-20}}, "toy --loss class_entropy=-1e-20"),
        ({"student_losses": {"l1": 1.0}}, "toy --loss kl=0 --loss l1=1"),
    ],
)
def test_parts__are_flags(spelled: Callable[..., Spelling], parts: dict[str, Any], label: str) -> None:
    found = spelled(parts)
    assert found.label("toy") == label
    assert found.settings == ()


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ({"batch_size": 32}, ["batch_size=32"]),
        ({"student": {"kind": "sgd", "lr": 0.1}}, ["student.kind=sgd", "student.lr=0.1"]),
        ({"student_update": {"kind": "meta_retain"}}, ["student_update.kind=meta_retain"]),
        ({"phases": {"distil": {"rounds": 7, "generator_steps": 1}}}, ["phases.distil.rounds=7"]),
        ({"precision": "true"}, ['precision="true"']),
        ({"precision": "a b; rm -rf ~"}, ['precision="a b; rm -rf ~"']),
        (
            {"generator": {"name": "conv", "options": {"latent": 100, "optimizer": {"lr": 0.5}, "channels": [8, 8]}}},
            ["generator.channels=[8,8]", "generator.optimizer.lr=0.5"],
        ),
    ],
)
def test_settings__are_assignments(
    spelled: Callable[..., Spelling], recipe: dict[str, Any], settings: list[str]
) -> None:
    found = spelled(recipe=recipe)
    assert (found.parts, list(found.settings)) == ((), settings)
    assert found.label("toy") == " ".join(["toy", *(f"--set {setting}" for setting in settings)])


def test_settings__many_are_counted_in_the_name_and_whole_in_the_row(spelled: Callable[..., Spelling]) -> None:
    found = spelled(recipe={"student": {"kind": "sgd", "lr": 0.1, "momentum": 0.5, "nesterov": True}, "batch_size": 8})
    assert (
        found.label("toy") == "toy --set batch_size=8 --set student.kind=sgd --set student.lr=0.1 and 2 more settings"
    )
    assert len(found.settings) == 5


def test_slot__filled_anew_with_the_same_part_has_lost_the_methods_options(spelled: Callable[..., Spelling]) -> None:
    assert spelled({"generator": "conv"}).label("toy") == "toy --generator conv"


def test_several_teachers__have_the_mean_by_themselves(spelled: Callable[..., Spelling]) -> None:
    teachers = [{"name": f"t{index}", "sha256": str(index) * 64} for index in range(3)]
    assert spelled({"aggregator": "mean"}, teachers=teachers).label("toy") == "toy"
    assert spelled({"aggregator": "vote"}, teachers=teachers).label("toy") == "toy --aggregator vote"


def test_unknown_plain_method__is_spelled_out(make_entry: Make) -> None:
    plan = ReadPlan.model_validate(make_entry(parts={"replay": "bank"}, settings={"batch_size": 9}).plan)
    found = spell(plan, None)
    assert found.label("toy") == "toy --generator conv --combiner sum --replay bank --aggregator first --loss kl=1"
    assert not found.against_plain
    assert {"batch_size=9", "student.lr=0.001"} <= set(found.settings)


@pytest.mark.parametrize(
    ("seeds", "text"),
    [([0], "0"), ([2, 0, 1], "0-2"), ([0, 1, 3, 5, 6, 7], "0-1,3,5-7"), ([4, 4], "4")],
)
def test_seeds__as_run_takes_them(seeds: list[int], text: str) -> None:
    assert seed_list(seeds) == text


def test_command__is_quoted_for_a_shell(make_entry: Make, spelled: Callable[..., Spelling]) -> None:
    plan = ReadPlan.model_validate(make_entry().plan)
    found = spelled({"replay": "bank"}, {"precision": "$(rm -rf ~)'`"})
    words = shlex.split(command_of(plan, found, [0, 1], ["cpu"]))
    assert words == [
        *("dfkdbench", "run", "--plugin", "toy", "--dataset", "digits", "--pair", "lenet_s:lenet_xs"),
        *("--budget", "quick", "--seeds", "0-1", "--replay", "bank", "--set", 'precision="$(rm -rf ~)\'`"'),
        *("--device", "cpu"),
    ]


def test_command__names_a_teacher_that_is_not_the_default(make_entry: Make) -> None:
    plan = ReadPlan.model_validate(make_entry(teachers=[{"name": "imported", "sha256": "b" * 64}]).plan)
    words = shlex.split(command_of(plan, Spelling((), ()), [0], ["cpu", "cuda"]))
    assert words[words.index("--teacher") + 1] == "imported"
    assert "--device" not in words


def test_labels__of_one_spelling_are_told_apart(board: Path, make_entry: Make, keep_plain: Callable[..., None]) -> None:
    from dfkdbench.boards.assembly import load_board

    keep_plain()
    keep_plain(distribution="other-lab")
    make_entry().write(board)
    make_entry(distribution="other-lab", accuracy=80.0).write(board)
    assert [row.method for row in load_board(board).tables[0].rows] == ["toy (of toy-lab)", "toy (of other-lab)"]


def test_labels__of_other_part_versions_are_told_apart(
    board: Path, make_entry: Make, keep_plain: Callable[..., None]
) -> None:
    from dfkdbench.boards.assembly import load_board

    keep_plain()
    make_entry().write(board)
    made = make_entry(accuracy=80.0)
    made.plan["slots"]["generator"]["version"] = "2"
    made.changed().write(board)
    assert [row.method for row in load_board(board).tables[0].rows] == ["toy (parts 1)", "toy (parts conv 2)"]

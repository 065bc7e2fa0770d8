"""Hostile plugins whose student is not what it seems."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from dfkdbench.places import assets_folder

if TYPE_CHECKING:
    from tests.hostile.conftest import Hostile, Say, Verify

PAIR = ("--pair", "lenet_s:lenet_s")


@pytest.mark.parametrize(
    ("way", "check", "words"),
    [
        pytest.param("the_teacher_itself", "L0 student", "is the file of the teacher", marks=pytest.mark.slow),
        ("the_teacher_moved_a_little", "L1 no teacher", "of their size from those of the teacher"),
        ("the_teacher_with_its_neurons_in_another_order", "L1 no teacher", "answers as the teacher"),
        pytest.param(
            "the_teacher_with_sharper_answers", "L1 no teacher", "answers as the teacher", marks=pytest.mark.slow
        ),
    ],
)
def test_poses_as_student__the_teacher_is_found(
    way: str, check: str, words: str, hostile: Hostile, say: Say, verify: Verify
) -> None:
    ended = hostile.run(*PAIR, deeds=[f"poses_as_student.{way}"])
    assert ended.record is not None
    assert ended.record["accuracy_final"] == 99.0
    found = verify(ended.folder, 1)
    failed = {name: reason for name, (outcome, reason) in found.items() if outcome == "fail"}
    assert list(failed) == [check]
    assert words in failed[check]
    say(f"poses_as_student.{way}", "detected")


@pytest.mark.slow
def test_poses_as_student__the_teacher_as_a_start_goes_unnoticed(hostile: Hostile, say: Say, verify: Verify) -> None:
    ended = hostile.run(*PAIR, deeds=["poses_as_student.the_teacher_as_a_start"])
    assert ended.record is not None
    assert ended.record["accuracy_final"] > 90
    found = verify(ended.folder, 1)
    assert not {name: why for name, (outcome, why) in found.items() if outcome != "pass"}
    say("poses_as_student.the_teacher_as_a_start", "documented")


@pytest.mark.slow
def test_brings_data__in_any_package_but_those_known_to_the_suite(hostile: Hostile, say: Say, verify: Verify) -> None:
    elsewhere = hostile.package.parent / "collection"
    elsewhere.mkdir()
    for folder in (hostile.package, elsewhere):
        shutil.copy(assets_folder() / "digits.npz", folder / "images.npz")
    students = set()
    for way in ("brings_data.in_its_own_package", "brings_data.in_another_package"):
        ended = hostile.run("--rerun", deeds=[way])
        assert ended.record is not None
        assert ended.record["accuracy_final"] > 30, ended.record
        assert {outcome for outcome, _ in verify(ended.folder, 1).values()} == {"pass"}
        students.add(ended.record["student_sha256"])
        say(way, "documented")
    assert len(students) == 1

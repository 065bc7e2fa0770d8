"""Hostile plugins that act or listen where the judge runs their code, outside the seal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dfkdbench.registry import load_registry

if TYPE_CHECKING:
    from tests.hostile.conftest import Hostile, Say, Verify


def test_acts_in_the_judge__imported_code_patches_the_evaluation(hostile: Hostile, say: Say) -> None:
    ended = hostile.run_apart(at_import=["acts_in_the_judge.patches_the_evaluation"])
    assert ended.record is not None, ended.stderr
    assert ended.record["accuracy_final"] == 100.0
    say("acts_in_the_judge.patches_the_evaluation", "documented")


@pytest.mark.slow
def test_acts_in_the_judge__imported_code_copies_the_data_to_where_the_worker_reads(hostile: Hostile, say: Say) -> None:
    way = "acts_in_the_judge.copies_the_data_into_its_package"
    ended = hostile.run(at_import=[way], deeds=["brings_data.in_its_own_package"])
    assert ended.record is not None, ended.stderr
    assert ended.record["accuracy_final"] > 30, ended.record
    say(way, "documented")


@pytest.mark.slow
def test_starts_with_python__comes_before_the_seal(hostile: Hostile, say: Say) -> None:
    source = (hostile.package / "starts_with_python.py").read_text(encoding="utf-8")
    (hostile.package.parent / "sitecustomize.py").write_text(f"{source}\n\nreads_before_the_seal()\n", encoding="utf-8")
    assert hostile.run_apart().exit_code == 0
    assert int(hostile.sprung.read_text()) == Path(hostile.facts["digits"]).stat().st_size
    say("starts_with_python.reads_before_the_seal", "documented")


def test_acts_in_the_judge__an_architecture_sees_the_test_images(hostile: Hostile, say: Say, verify: Verify) -> None:
    way = "acts_in_the_judge.brings_an_architecture_that_knows_the_data"
    ended = hostile.run("--pair", "lenet_s:knowing", at_import=[way])
    assert ended.record is not None, ended.stderr
    assert ended.record["accuracy_final"] > 95
    assert {outcome for outcome, _ in verify(ended.folder, 1).values()} == {"pass"}
    say(way, "documented")


def test_acts_in_the_judge__an_observer_of_the_method_itself_is_told_nothing(hostile: Hostile, say: Say) -> None:
    peek = "peeks.at_its_own_observers_notes"
    ended = hostile.run(at_import=["acts_in_the_judge.observes_its_own_run"], at_last=[peek])
    assert ended.denied(peek).startswith("FileNotFoundError")
    say("acts_in_the_judge.observes_its_own_run", "stopped")
    say(peek, "stopped")


@pytest.mark.slow
@pytest.mark.usefixtures("listener")
def test_peeks__at_the_notes_of_another_distributions_observer_is_found_at_level_2(
    hostile: Hostile, say: Say, verify: Verify
) -> None:
    peek = "peeks.at_another_distributions_observers_notes"
    ended = hostile.run(deeds=[peek])
    assert ended.record is not None, ended.stderr
    assert ended.record["status"] == "finished"
    outcome, reason = verify(ended.folder, 2)["L2 blindness"]
    assert outcome == "fail"
    assert "who judges changes the student" in reason
    say(peek, "detected")


def test_declares__real_samples_are_for_the_cores_own_code(hostile: Hostile, say: Say) -> None:
    ended = hostile.run(at_import=["declares.real_samples"])
    assert (ended.exit_code, ended.record) == (2, None)
    assert "that of hostile would see them here" in ended.stderr
    say("declares.real_samples", "stopped")


def test_declares__the_suites_name_is_the_suites(hostile: Hostile, say: Say) -> None:
    for message in ("that of hostile would see them here", "Unknown method 'hostile'"):
        ended = hostile.run(at_import=["declares.the_suites_name"])
        assert (ended.exit_code, ended.record) == (2, None)
        assert message in ended.stderr
    (status,) = [status for status in load_registry().plugins if status.name == "hostile"]
    assert "goes by the suite's own name" in status.reason
    say("declares.the_suites_name", "stopped")

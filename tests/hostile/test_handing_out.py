"""Hostile plugins that hand the judge what is none: the run ends with a record that says so, and the judge goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hostile.conftest import Hostile, Say

FAILS = {
    "a_pickle_as_snapshot": "0000.safetensors is a pickle, which could run code when loaded",
    "a_pickle_as_report": "a report that is no JSON line",
    "a_pickle_as_samples": "samples.safetensors",
    "samples_of_absurd_shape": "samples.safetensors",
    "a_link_as_snapshot": "Can't read",
    "a_pipe_as_snapshot": "is no regular file",
    "a_link_as_reports": "Can't read",
    "another_architecture": "don't fit the architecture",
    "a_header_of_100_gigabytes": "is damaged or truncated",
    "a_snapshot_of_a_terabyte": "has 1099511627776 bytes, at most",
    "one_snapshot_again_and_again": "handed out snapshot 0 after snapshot 0",
    "a_snapshot_too_many": "a snapshot 7 that the plan does not have",
    "an_end_without_snapshots": "finished without handing out every snapshot",
    "a_number_that_is_none": "a report that is no JSON line",
    "a_number_below_zero": "seconds: Input should be greater than or equal to 0",
    "a_number_in_words": "student_samples: Input should be a valid integer",
    "brackets_without_end": "a report that is no JSON line",
    "a_line_without_end": "a line of more than",
    "a_status_of_its_own": "status: Input should be 'finished'",
    "a_refusal_after_the_start": "This plan can't work, I find only now.",
    "a_refusal_in_the_sessions_words": "refused the plan after it had begun",
}

QUICK = {
    "a_pickle_as_snapshot",
    "a_pickle_as_samples",
    "a_header_of_100_gigabytes",
    "one_snapshot_again_and_again",
    "a_number_in_words",
    "a_refusal_after_the_start",
}
"""Those in the default selection: each takes seconds, and the judge's checks have tests of their own."""


@pytest.mark.parametrize("way", [way if way in QUICK else pytest.param(way, marks=pytest.mark.slow) for way in FAILS])
def test_hands_out__what_is_none_fails_the_run_and_the_record_says_so(way: str, hostile: Hostile, say: Say) -> None:
    ended = hostile.run(deeds=[f"hands_out.{way}"])
    assert ended.record is not None, ended.stderr
    assert (ended.exit_code, ended.record["status"], ended.record["accuracy_final"]) == (1, "failed", None)
    assert FAILS[way] in ended.record["error"]
    assert not (ended.folder / "student.safetensors").exists()
    assert not hostile.sprung.exists()
    say(f"hands_out.{way}", "stopped")


def test_hands_out__weights_that_are_no_numbers_are_judged_as_wrong_answers(hostile: Hostile, say: Say) -> None:
    ended = hostile.run(deeds=["hands_out.weights_that_are_no_numbers"])
    assert ended.record is not None, ended.stderr
    assert [evaluation["accuracy"] for evaluation in ended.record["evaluations"]] == [0.0, 0.0]
    say("hands_out.weights_that_are_no_numbers", "stopped")


@pytest.mark.slow
def test_hands_out__a_pickle_as_checkpoint_is_not_loaded_by_the_next_start(hostile: Hostile, say: Say) -> None:
    way = "hands_out.a_pickle_as_checkpoint"
    assert hostile.run(deeds=[way]).record is None
    ended = hostile.run(deeds=[way])
    assert ended.record is None
    assert "is no whole checkpoint" in ended.stderr
    assert "--rerun" in ended.stderr
    assert not hostile.sprung.exists()
    say(way, "stopped")


def test_hands_out__a_folder_among_its_checkpoints_is_cleared_away(hostile: Hostile, say: Say) -> None:
    way = "hands_out.a_folder_as_checkpoint"
    ended = hostile.run(deeds=[way])
    assert ended.exit_code == 0, ended.stderr
    assert not list((ended.folder / "checkpoint").iterdir())
    assert hostile.run("--rerun").exit_code == 0
    say(way, "stopped")


def test_hands_out__words_for_the_terminal_are_only_words(hostile: Hostile, say: Say) -> None:
    ended = hostile.run(deeds=["hands_out.words_for_the_terminal"])
    assert ended.record is not None, ended.stderr
    error = ended.record["error"]
    assert "accuracy 99.9 %" in error
    assert error.isprintable()
    assert len(error) <= 2000
    assert "\x1b" not in ended.stderr
    say("hands_out.words_for_the_terminal", "stopped")


def test_hands_out__a_worker_that_ends_without_a_word_leaves_no_record(hostile: Hostile, say: Say) -> None:
    ended = hostile.run(deeds=["hands_out.nothing_at_all"])
    assert (ended.exit_code, ended.record) == (1, None)
    assert "ended without a word" in ended.stderr
    say("hands_out.nothing_at_all", "documented")

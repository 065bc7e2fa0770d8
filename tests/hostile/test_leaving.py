"""Hostile plugins that leave something behind, or learn more than is counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hostile.conftest import Hostile, Say, Verify


@pytest.mark.parametrize(
    "way", ["leaves_behind.a_daemon", pytest.param("leaves_behind.a_child_in_the_background", marks=pytest.mark.slow)]
)
def test_leaves_behind__no_process_outlives_its_worker(way: str, hostile: Hostile, say: Say) -> None:
    ended = hostile.run(deeds=[way])
    assert ended.exit_code == 0, ended.stderr
    left = int((ended.folder / "snapshots" / "left.pid").read_text())
    assert not Path(f"/proc/{left}").exists()
    say(way, "stopped")


@pytest.fixture
def shared_file() -> Iterator[Path]:
    """A place in the memory that processes share."""
    place = Path(f"/dev/shm/dfkdbench-test-{time.time_ns()}")
    yield place
    place.unlink(missing_ok=True)


@pytest.mark.slow
def test_leaves_behind__a_message_for_the_next_run_is_found_at_level_2(
    hostile: Hostile, say: Say, verify: Verify, shared_file: Path
) -> None:
    way = "leaves_behind.a_message_for_the_next_run"
    ended = hostile.run(deeds=[way], shared=str(shared_file))
    assert ended.record is not None
    assert ended.record["status"] == "finished"
    assert shared_file.exists()
    outcome, reason = verify(ended.folder, 2)["L2 blindness"]
    assert outcome == "fail"
    assert "who judges changes the student" in reason
    say(way, "detected")


def test_leaves_behind__a_full_disk_ends_the_run_with_one_message(hostile: Hostile, say: Say, small_disk: Path) -> None:
    hostile.out = small_disk / "runs"
    ended = hostile.run(deeds=["leaves_behind.a_full_disk"])
    assert (ended.exit_code, ended.record) == (1, None)
    assert "disk" in ended.stderr
    assert not (ended.folder / "result.json").exists()
    say("leaves_behind.a_full_disk", "documented")


@pytest.mark.slow
def test_leaves_behind__what_it_learned_uncounted_is_not_seen(hostile: Hostile, say: Say, verify: Verify) -> None:
    way = "leaves_behind.what_it_learned_uncounted"
    ended = hostile.run(deeds=[way])
    assert ended.record is not None
    assert (ended.record["status"], ended.record["student_samples"]) == ("finished", 2_560)
    assert {outcome for outcome, _ in verify(ended.folder, 1).values()} == {"pass"}
    say(way, "documented")

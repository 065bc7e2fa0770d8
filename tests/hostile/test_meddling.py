"""Hostile plugins that change what is not theirs."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import dfkdbench
from dfkdbench.sandbox import abi_version

if TYPE_CHECKING:
    from tests.hostile.conftest import Hostile, Say, Verify

CLOSED = (
    "forges_its_result",
    "forges_its_evaluations",
    "edits_its_plan",
    "edits_another_record",
    "truncates_another_record",
    "deletes_another_record",
    "swaps_its_snapshots_folder_for_a_link",
    "swaps_its_run_folder",
    "changes_the_suites_code",
    "leaves_a_sitecustomize",
    "signals_the_judge",
)


def test_meddles__nothing_outside_its_folders_changes(
    hostile: Hostile, another: Path, say: Say, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    if abi_version() < 6:
        pytest.skip("signals are closed from Landlock's interface 6 on")
    received: list[int] = []
    former = signal.signal(signal.SIGUSR2, lambda number, _: received.append(number))
    suite = Path(dfkdbench.__file__).with_name("judge.py")
    before = {path: path.read_bytes() for path in (suite, another / "result.json", another / "plan.json")}
    closed = [f"meddles.{way}" for way in CLOSED]
    patch, mode = "meddles.patches_the_judges_modules", "meddles.changes_the_mode_of_another_record"
    forged = '{"accuracy_final": 99.0}'
    try:
        ended = hostile.run(attempts=[*closed, mode], at_last=[patch], other=str(another), forged=forged)
    finally:
        signal.signal(signal.SIGUSR2, former)
    assert ended.record is not None
    assert ended.record["status"] == "finished", ended.record
    assert not received
    assert {path: path.read_bytes() for path in before} == before
    assert not (hostile.package.parent / "sitecustomize.py").exists()
    assert {outcome for outcome, _ in verify(ended.folder, 1).values()} == {"pass"}
    for way in closed:
        assert ended.denied(way)
        say(way, "stopped")
    assert ended.reached(patch) == "'patched'"
    say(patch, "stopped")
    assert ended.reached(mode) == "'0o600'"
    say(mode, "documented")


def test_meddles__code_that_one_start_leaves_is_not_run_by_the_next(hostile: Hostile, say: Say) -> None:
    deed = "meddles.plants_startup_code_for_its_next_start"
    ended = hostile.run(deeds=[deed])
    assert "ended without a word" in ended.stderr
    assert (ended.folder / "scratch" / "planted.pth").exists()
    assert hostile.run(deeds=[deed]).exit_code == 0
    assert not hostile.sprung.exists()
    say(deed, "stopped")


@pytest.mark.slow
def test_meddles__a_start_follows_no_link_that_the_one_before_left(hostile: Hostile, say: Say) -> None:
    deed = "meddles.links_its_scratch_folders_elsewhere"
    ended = hostile.run(deeds=[deed])
    assert (ended.folder / "scratch" / "home").is_symlink()
    assert hostile.run(deeds=[deed]).exit_code == 0
    assert not hostile.sprung.exists()
    say(deed, "stopped")

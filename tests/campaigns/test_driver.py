"""The driver: every piece of work ends once, whatever happens to its starts."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from dfkdbench.campaigns import driver as module
from dfkdbench.campaigns.attempts import Attempts
from dfkdbench.campaigns.driver import Driver, Tally, Work
from dfkdbench.errors import RunError
from dfkdbench.executors.jobs import Ending, Job, Resources

Behaviour = Callable[[str], tuple[int, str]]


class Records(dict[str, str]):
    """In place of run folders: key -> outcome. What is in `locked` is worked on by another process."""

    def __init__(self) -> None:
        super().__init__()
        self.locked: set[str] = set()


class Fake:
    """An executor whose jobs end at the next `wait`, as `behaviour` says."""

    def __init__(self, behaviour: Behaviour, room: int = 2) -> None:
        self.behaviour, self._room = behaviour, room
        self.going: list[Job] = []
        self.starts: list[str] = []
        self.stopped = False

    def room(self) -> int:
        return self._room - len(self.going)

    def submit(self, job: Job) -> None:
        self.going.append(job)
        self.starts.append(job.key)

    def wait(self, seconds: float) -> list[Ending]:
        jobs, self.going = self.going, []
        return [Ending(job.key, *self._end(job)) for job in jobs]

    def _end(self, job: Job) -> tuple[int, float, str]:
        status, message = self.behaviour(job.key)
        return status, 1.0, message

    def stop(self) -> list[Ending]:
        self.stopped = True
        jobs, self.going = self.going, []
        return [Ending(job.key, 75, 1.0) for job in jobs]

    def close(self) -> None:
        self.going = []


class Shown:
    """What the driver tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.seconds: list[float | None] = []

    def started(self, work: Work) -> None:
        self.lines.append(f"start {work.key}")

    def ended(self, work: Work, line: str) -> None:
        self.lines.append(f"end {work.key}: {line}")

    def retried(self, work: Work, reason: str) -> None:
        self.lines.append(f"again {work.key}: {reason}")

    def moved(self, going: Sequence[Work], left: int, seconds_left: float | None) -> None:
        self.seconds.append(seconds_left)


def work(records: Records, key: str, seconds: float | None = 10.0) -> Work:
    return Work(
        job=Job(key, ("run",), Resources(), Path("log")),
        title=f"run {key}",
        outcome=lambda: records.get(key),
        is_busy=lambda: key in records.locked,
        seconds=seconds,
    )


def drive(
    folder: Path, records: Records, executor: Fake, keys: str, retries: int = 2, **more: float
) -> tuple[Tally, Shown]:
    shown = Shown()
    driver = Driver(executor, Attempts(folder), shown, folder, retries, **more)
    return driver.make([work(records, key) for key in keys]), shown


def test_work__each_is_made_once(tmp_path: Path) -> None:
    records = Records()
    records["b"] = "90 %"

    def finish(key: str) -> tuple[int, str]:
        records[key] = "91 %"
        return 0, ""

    executor = Fake(finish)
    tally, shown = drive(tmp_path, records, executor, "abcd")
    assert sorted(tally.done) == ["run a", "run b", "run c", "run d"]
    assert sorted(executor.starts) == ["a", "c", "d"]
    assert "end b: 90 %" in shown.lines
    assert tally.stopped_by is None


def test_record_of_a_failure__is_done_and_not_tried_again(tmp_path: Path) -> None:
    records = Records()

    def diverge(key: str) -> tuple[int, str]:
        records[key] = "diverged: the loss is NaN"
        return 1, ""

    executor = Fake(diverge)
    tally, _ = drive(tmp_path, records, executor, "a")
    assert executor.starts == ["a"]
    assert tally.done == ["run a"]


def test_killed__is_tried_again_so_many_times_and_no_more_also_by_the_next_driver(tmp_path: Path) -> None:
    executor = Fake(lambda key: (-9, "killed"))
    tally, shown = drive(tmp_path, Records(), executor, "a", retries=2)
    assert executor.starts == ["a"] * 3
    assert "3 starts left no record, the last with exit status -9: killed" in tally.given_up["run a"]
    assert sum(line.startswith("again") for line in shown.lines) == 2
    later = Fake(lambda key: (-9, "killed"))
    tally, _ = drive(tmp_path, Records(), later, "a", retries=2)
    assert later.starts == []
    assert tally.given_up


def test_killed_once__finishes_at_the_next_start(tmp_path: Path) -> None:
    records = Records()

    def once(key: str) -> tuple[int, str]:
        if executor.starts.count(key) == 1:
            return -9, "killed"
        records[key] = "90 %"
        return 0, ""

    executor = Fake(once)
    tally, _ = drive(tmp_path, records, executor, "ab")
    assert sorted(tally.done) == ["run a", "run b"]
    assert sorted(executor.starts) == ["a", "a", "b", "b"]


def test_refused__is_given_up_at_once_with_the_reason(tmp_path: Path) -> None:
    executor = Fake(lambda key: (2, "Error: no such thing"))
    tally, _ = drive(tmp_path, Records(), executor, "a")
    assert executor.starts == ["a"]
    assert tally.given_up == {"run a": "Error: no such thing"}


def test_given_up__is_tried_again_where_that_is_asked_for(tmp_path: Path) -> None:
    drive(tmp_path, Records(), Fake(lambda key: (2, "no")), "a")
    Attempts(tmp_path).forget()
    executor = Fake(lambda key: (2, "no"))
    drive(tmp_path, Records(), executor, "a")
    assert executor.starts == ["a"]


def test_stopped_by_somebody__goes_on_without_being_counted(tmp_path: Path) -> None:
    records = Records()

    def preempted(key: str) -> tuple[int, str]:
        if len(executor.starts) < 6:
            return 75, ""
        records[key] = "90 %"
        return 0, ""

    executor = Fake(preempted)
    tally, _ = drive(tmp_path, records, executor, "a", retries=0)
    assert tally.done == ["run a"]
    assert len(executor.starts) == 6


def test_worked_on_by_another_driver__is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.0)
    records = Records()
    records.locked = {"b"}

    def finish(key: str) -> tuple[int, str]:
        records[key] = "90 %"
        records["b"] = "made by the other"
        return 0, ""

    executor = Fake(finish)
    tally, shown = drive(tmp_path, records, executor, "ba")
    assert executor.starts == ["a"]
    assert "end b: made by the other" in shown.lines
    assert not tally.given_up


def test_lost_the_race_for_a_run__is_no_failed_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.0)
    records = Records()

    def beaten(key: str) -> tuple[int, str]:
        records[key] = "made by the other" if len(executor.starts) > 3 else None  # type: ignore[assignment]
        return 3, "Error: The run a is being worked on by another process. Wait for it, or choose another --out."

    executor = Fake(beaten)
    tally, _ = drive(tmp_path, records, executor, "a", retries=0)
    assert tally.done == ["run a"]


def test_time_limit__stops_with_checkpoints_and_the_next_driver_goes_on(tmp_path: Path) -> None:
    clock = {"now": 100.0}
    records = Records()

    def slow(key: str) -> tuple[int, str]:
        clock["now"] += 300
        records[key] = "90 %"
        return 0, ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock["now"]))
        executor = Fake(slow, room=1)
        tally, _ = drive(tmp_path, records, executor, "abcd", time_limit=540, started_at=100.0)
    assert tally.done == ["run a", "run b"]
    assert tally.stopped_by == 0
    assert executor.stopped
    tally, _ = drive(tmp_path, records, Fake(slow), "abcd")
    assert len(tally.done) == 4


def test_signal__stops_what_runs(tmp_path: Path) -> None:
    def interrupt(key: str) -> tuple[int, str]:
        os.kill(os.getpid(), signal.SIGTERM)
        return 75, ""

    former = signal.getsignal(signal.SIGTERM)
    tally, _ = drive(tmp_path, Records(), Fake(interrupt), "abc")
    assert tally.stopped_by == signal.SIGTERM
    assert not tally.given_up
    assert signal.getsignal(signal.SIGTERM) is former


def test_full_disk__ends_before_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    executor = Fake(lambda key: (0, ""))
    with pytest.raises(RunError, match=r"1 MB free.*same command goes on"):
        drive(tmp_path, Records(), executor, "a")
    assert executor.starts == []
    assert executor.stopped


def test_executor_that_goes_away__is_an_error_and_counts_as_no_start(tmp_path: Path) -> None:
    def gone(key: str) -> tuple[int, str]:
        raise RunError("The Ray cluster is gone.")

    with pytest.raises(RunError, match="is gone"):
        drive(tmp_path, Records(), Fake(gone), "a")
    assert Attempts(tmp_path).given_up("a", 0) == ""


def test_time_left__by_estimates_and_what_runs_at_a_time(tmp_path: Path) -> None:
    records = Records()
    steps = iter(range(100))

    def finish(key: str) -> tuple[int, str]:
        records[key] = f"{next(steps)}"
        return 0, ""

    _, shown = drive(tmp_path, records, Fake(finish, room=2), "abcdef")
    assert shown.seconds[0] == 20.0
    assert shown.seconds[-1] == 0.0


def test_time_left__of_work_like_no_other_is_what_was_made_so_far(tmp_path: Path) -> None:
    records = Records()
    waits = iter(range(100))

    class Slow(Fake):
        def wait(self, seconds: float) -> list[Ending]:
            return super().wait(seconds) if next(waits) else []

    def finish(key: str) -> tuple[int, str]:
        records[key] = "90 %"
        return 0, ""

    shown = Shown()
    driver = Driver(Slow(finish), Attempts(tmp_path), shown, tmp_path, 0)
    driver.make([work(records, key, seconds=None) for key in "abcdef"])
    assert shown.seconds == [None, 2.0, 1.0, 0.0]


def test_attempts__damaged_lines_are_passed_over(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    attempts.add(Ending("a", -9, 1.0, "killed"))
    path = tmp_path / ".sweep" / "attempts.jsonl"
    path.write_text(path.read_text() + '{"key": "a", "exi', encoding="utf-8")
    assert Attempts(tmp_path).given_up("a", 0).startswith("1 starts")
    assert Attempts(tmp_path).given_up("a", 1) == ""

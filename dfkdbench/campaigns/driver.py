"""Makes work until all of it is done, given up, or time is over.

The driver holds no state that matters: what is done is what has a record. So it may be killed at any moment, and two
drivers may share a runs folder: what another one works on is waited for.
"""

from __future__ import annotations

import shutil
import signal
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

from dfkdbench.campaigns.attempts import Attempts
from dfkdbench.errors import BusyError, DfkdbenchError, RunError
from dfkdbench.executors.jobs import Ending, Executor, Job

SPARE_BYTES = 200 * 2**20
"""Disk space that is left alone."""

_WAIT_SECONDS = 0.5
_BUSY_SECONDS = 2.0


@dataclass(frozen=True)
class Work:
    """Something to make by a command, once.

    Attributes:
        outcome: What it came to, or None while it is not there.
        is_busy: Whether another process works on it.
        seconds: About how long it takes, where that is known.
        disk_bytes: What it keeps.
    """

    job: Job
    title: str
    outcome: Callable[[], str | None]
    is_busy: Callable[[], bool]
    seconds: float | None = None
    disk_bytes: int = 0

    @property
    def key(self) -> str:
        """The job's."""
        return self.job.key


@dataclass
class Tally:
    """What became of the work.

    Attributes:
        done: Titles.
        given_up: Title -> reason.
        stopped_by: A signal's number, 0 for the end of the time, or None where it was not stopped.
    """

    done: list[str] = field(default_factory=list)
    given_up: dict[str, str] = field(default_factory=dict)
    stopped_by: int | None = None


class Watcher(Protocol):
    """Shows what goes on."""

    def started(self, work: Work) -> None:
        """A start of it was handed to the executor."""
        ...

    def ended(self, work: Work, line: str) -> None:
        """It is done or given up."""
        ...

    def retried(self, work: Work, reason: str) -> None:
        """A start left no record; it is tried again."""
        ...

    def moved(self, going: Sequence[Work], left: int, seconds_left: float | None) -> None:
        """Called every half second or so."""
        ...


class Driver:
    """Hands work to an executor.

    Args:
        retries: Starts without a record, beyond the first, before work is given up.
        time_limit: Seconds from `started_at` after which everything is asked for a checkpoint; None for no limit.
        started_at: A moment of `time.monotonic`.
    """

    def __init__(
        self,
        executor: Executor,
        attempts: Attempts,
        watcher: Watcher,
        folder: Path,
        retries: int,
        time_limit: float | None = None,
        started_at: float | None = None,
    ) -> None:
        self._executor, self._attempts, self._watcher, self._folder = executor, attempts, watcher, folder
        self._retries = retries
        start = time.monotonic() if started_at is None else started_at
        self._deadline = None if time_limit is None else start + time_limit
        self._waiting: deque[Work] = deque()
        self._not_before: dict[str, float] = {}
        self._going: dict[str, Work] = {}
        self._tally = Tally()
        self._width = 1
        self._took: list[float] = []

    def make(self, works: Sequence[Work]) -> Tally:
        """Makes all of it.

        Raises:
            RunError: The disk is full, or the executor is gone. What is finished stays.
        """
        self._tally = Tally()
        self._waiting.extend(works)
        with _stop_signals() as received:
            try:
                while (self._waiting or self._going) and not self._is_over(received):
                    self._submit()
                    self._take(self._executor.wait(_WAIT_SECONDS))
                    self._watcher.moved(list(self._going.values()), len(self._waiting), self._seconds_left())
                if self._waiting or self._going:
                    self._tally.stopped_by = received[0] if received else 0
                    self._take(self._executor.stop())
            except DfkdbenchError:
                self._take_what_there_is()
                raise
            finally:
                self._waiting.clear()
                self._going.clear()
        return self._tally

    def _is_over(self, received: list[int]) -> bool:
        return bool(received) or (self._deadline is not None and time.monotonic() >= self._deadline)

    def _submit(self) -> None:
        """Hands over what there is room for, and passes by what others have done or work on."""
        for _ in range(len(self._waiting)):
            if self._executor.room() < 1:
                return
            work = self._waiting.popleft()
            if (line := work.outcome()) is not None:
                self._done(work, line)
            elif reason := self._attempts.given_up(work.key, self._retries):
                self._give_up(work, reason)
            elif time.monotonic() < self._not_before.get(work.key, 0) or work.is_busy():
                self._postpone(work)
            else:
                self._waiting.appendleft(work)
                self._refuse_full_disk(work)
                self._executor.submit(self._waiting.popleft().job)
                self._going[work.key] = work
                self._width = max(self._width, len(self._going))
                self._watcher.started(work)

    def _take(self, endings: Sequence[Ending]) -> None:
        for ending in endings:
            work = self._going.pop(ending.key)
            if (line := work.outcome()) is not None:
                self._took.append(ending.seconds)
                self._done(work, line)
            elif ending.exit_status == BusyError.exit_code:
                self._postpone(work)
            elif ending.checkpointed or self._tally.stopped_by is not None:
                self._waiting.append(work)
            else:
                self._attempts.add(ending)
                reason = self._attempts.given_up(work.key, self._retries)
                if reason:
                    self._give_up(work, reason)
                else:
                    self._watcher.retried(work, f"exit status {ending.exit_status}: {ending.message}")
                    self._waiting.append(work)

    def _take_what_there_is(self) -> None:
        """On the way out with an error: asks for checkpoints where somebody still listens."""
        self._tally.stopped_by = 0
        try:
            self._take(self._executor.stop())
        except RunError:
            return  # the executor is what is gone

    def _done(self, work: Work, line: str) -> None:
        self._tally.done.append(work.title)
        self._watcher.ended(work, line)

    def _give_up(self, work: Work, reason: str) -> None:
        self._tally.given_up[work.title] = reason
        self._watcher.ended(work, f"given up: {reason}")

    def _postpone(self, work: Work) -> None:
        if time.monotonic() >= self._not_before.get(work.key, 0):
            self._not_before[work.key] = time.monotonic() + _BUSY_SECONDS
        self._waiting.append(work)

    def _refuse_full_disk(self, work: Work) -> None:
        free = shutil.disk_usage(self._folder).free
        needed = SPARE_BYTES + work.disk_bytes + sum(going.disk_bytes for going in self._going.values())
        if free < needed:
            raise RunError(
                f"{self._folder} has {free / 1e6:,.0f} MB free, and the next run wants {needed / 1e6:,.0f} MB with "
                "what is running. Make room; nothing finished is lost, and the same command goes on."
            )

    def _seconds_left(self) -> float | None:
        """By the estimates of what is left and going.

        What has none counts as the median of what was made here so far; None where nothing was.
        """
        like_others = statistics.median(self._took) if self._took else None
        left = [work.seconds or like_others for work in (*self._waiting, *self._going.values())]
        known = [seconds for seconds in left if seconds is not None]
        return sum(known) / self._width if len(known) == len(left) else None


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM for the block. A third one raises KeyboardInterrupt, for those in a hurry."""
    received: list[int] = []

    def take(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 2:
            raise KeyboardInterrupt

    former = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)

"""Runs of one plan but for the seed in one process, round by round: each as it would be alone, in its own folder.

Every run has its own networks, parts, optimisers and random streams. What they share is the process, and where rounds
are captured the program: one launch for a round of each.
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from dfkdbench.capture import Lane, Rounds, build_common_rounds
from dfkdbench.launch import Launch
from dfkdbench.plan import Plan
from dfkdbench.rng import OwnGlobals
from dfkdbench.runfolder import RunFolder
from dfkdbench.session import (
    EXIT_CHECKPOINTED,
    EXIT_CROWDED,
    EXIT_DISK,
    EXIT_ENDED_WITH_STATUS,
    EXIT_FINISHED,
    Session,
    end_by,
)


class CrowdedError(Exception):
    """Runs that might have memory enough alone have not together."""


class Member:
    """One of several runs in this process.

    Args:
        launch: What the process was started with, for all.
        crowded: Whether others may have taken of the memory.

    Attributes:
        exit_code: That of a process of its own, once the run has ended.
    """

    def __init__(self, folder: RunFolder, launch: Launch, crowded: bool) -> None:
        self.folder, self.launch = folder, launch
        self.plan = Plan.model_validate_json(folder.plan.read_text(encoding="utf-8"))
        self.exit_code: int | None = None
        self._crowded = crowded
        self._session: Session | None = None
        self._globals = OwnGlobals(torch.device(self.plan.device))

    @property
    def session(self) -> Session:
        """Its session, once it is built."""
        if self._session is None:
            raise RuntimeError(f"{self.plan.run_id} is not built.")
        return self._session

    def build(self) -> None:
        """Builds or resumes the run; where that fails it has ended."""
        with self.own():
            self._session = Session(self.plan, self.folder, self.launch)

    @property
    def lane(self) -> Lane:
        """The run as rounds see it."""
        return Lane(self.session.assembly, self.own, self.guarded)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """What fails within ends this run alone.

        Raises:
            CrowdedError: The device has no more memory, and other runs have taken of it.
        """
        try:
            yield
        except Exception as error:  # whatever a plugin raises is the run's result
            self.end_by(error)

    @contextmanager
    def own(self) -> Iterator[None]:
        """As `guarded`, with the run's own random numbers of the framework."""
        with self.guarded(), self._globals.in_force():
            yield

    def end_by(self, error: Exception) -> None:
        """Ends the run by an error, unless it has ended.

        Raises:
            CrowdedError: As `guarded`.
        """
        if self._crowded and isinstance(error, torch.OutOfMemoryError):
            raise CrowdedError(str(error)) from error
        if self.exit_code is None:
            self.exit_code = end_by(error, self.folder, self.plan, self._session)

    def begin(self, rounds: Rounds) -> None:
        """Begins with rounds that are run for all."""
        self.session.begin(rounds, self._globals.in_force)
        self.conclude_if_done()

    def follow_up(self) -> None:
        """What is due after a round, and the end where that was the last."""
        with self.guarded():
            self.session.follow_up()
        self.conclude_if_done()

    def conclude_if_done(self) -> None:
        """Hands out what a run hands out last, or its checkpoint where it was asked to stop."""
        if self.exit_code is None and not self.session.goes_on:
            with self.own():
                self.exit_code = self.session.conclude()


def run_together(roots: Sequence[Path], launch: Launch) -> int:
    """Runs the plans of several run folders; returns the exit code.

    A run that ends before the others does so with a status of its own. SIGTERM asks all for a checkpoint, after the
    same round.
    """
    members = [Member(RunFolder(root), launch, crowded=len(roots) > 1) for root in roots]
    try:
        _advance_until_all_ended(members, launch.capture)
    except CrowdedError:
        traceback.print_exc()
        return EXIT_CROWDED
    codes = {member.exit_code for member in members}
    order = (EXIT_DISK, EXIT_CHECKPOINTED, EXIT_ENDED_WITH_STATUS)
    return next((code for code in order if code in codes), EXIT_FINISHED)


def _advance_until_all_ended(members: Sequence[Member], capture: str) -> None:
    for member in members:
        member.build()
    going = _going(members)
    if not going:
        return
    requests: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: requests.append(number))
    rounds = build_common_rounds([member.lane for member in going], capture)
    for member in going:
        member.begin(rounds)
    while going := _going(going):
        rounds.keep([member.lane for member in going])
        try:
            rounds.advance()
        except CrowdedError:
            raise
        except Exception as error:  # of the program of all
            for member in going:
                member.end_by(error)
        if requests:
            for member in going:
                member.session.request_stop()
        for member in _going(going):
            member.follow_up()


def _going(members: Sequence[Member]) -> list[Member]:
    return [member for member in members if member.exit_code is None]

"""A training process that several judges share, each for a run of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from subprocess import Popen
from typing import IO, NamedTuple

from dfkdbench.errors import PlanError
from dfkdbench.files import write_json
from dfkdbench.launch import Launch
from dfkdbench.plan import Plan
from dfkdbench.runfolder import RunFolder
from dfkdbench.sandbox import END_ALL, Policy, union
from dfkdbench.workerprocess import Process, end, first_line, start

EXIT_ENDED_FOR_ANOTHER = 78
"""For a judge that did not end the process which it shared with the one that did."""


class Seat(NamedTuple):
    """A run that is to be in the process, with what its judge would start a process of its own with."""

    plan: Plan
    folder: RunFolder
    launch: Launch
    temporary: Path


class SharedProcess:
    """One sealed process for the runs of several judges, each judge in a thread of its own.

    It starts once every judge has come: with its run, or without one, as that has its record already or can't begin.

    Args:
        judges: How many there are.

    Attributes:
        ended_for: Id of the run whose judge ended the process for all, or nothing.
    """

    def __init__(self, judges: int) -> None:
        self.ended_for = ""
        self._to_come = judges
        self._came = threading.Condition()
        self._seats: list[Seat] = []
        self._process: Popen[bytes] | None = None
        self._in_force = b""
        self._failure: Exception | None = None
        self._staying = 0

    def join(self, seat: Seat | None) -> None:
        """A judge has come, with a run or without."""
        with self._came:
            self._to_come -= 1
            if seat is not None:
                self._seats.append(seat)
                self._staying += 1
            self._came.notify_all()

    def wait(self, run_id: str) -> Process:
        """The process, once all have come.

        Raises:
            PlanError: The runs can't be in one process, since they were started differently before.
            Exception: Whatever kept it from starting.
        """
        with self._came:
            self._came.wait_for(lambda: not self._to_come)
            if self._process is None and self._failure is None:
                try:
                    self._start()
                except Exception as failure:  # every judge that waits has to learn of it
                    self._failure = failure
        if self._process is None:
            raise self._failure or RuntimeError("There is no process.")
        return _Share(self, self._process, self._in_force, run_id)

    def leave(self) -> None:
        """A judge needs the process no more. It stays until all do: the process uses what the judges have opened."""
        with self._came:
            self._staying -= 1
            others = self._staying
        if self._process is None:
            return
        if others:
            self._process.wait()
            return
        end(self._process)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _start(self) -> None:
        first, *others = seats = sorted(self._seats, key=lambda seat: seat.plan.seed)
        _check_alike([seat.launch for seat in seats])
        policy = union([Policy.from_json(seat.launch.policy) for seat in seats]).to_json()
        for seat in seats:
            write_json(seat.folder.launch, seat.launch.model_copy(update={"policy": policy}).model_dump(mode="json"))
        for seat in others:
            with seat.folder.worker_log.open("a", encoding="utf-8") as log:
                log.write(f"This run's process tells what it does in {first.folder.worker_log}.\n")
        roots = [str(seat.folder.root) for seat in seats]
        self._process = start("dfkdbench.together", roots, first.folder, first.launch, first.temporary)
        self._in_force = first_line(self._process).encode()


class Guest:
    """One judge's way to a shared process. As a block, for all that the judge does with its run."""

    def __init__(self, shared: SharedProcess) -> None:
        self._shared = shared
        self._came = False

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._came:
            self._shared.join(None)

    @contextmanager
    def training_process(
        self, plan: Plan, folder: RunFolder, launch: Launch, temporary: Path, _ends: tuple[int, ...] = ()
    ) -> Iterator[Process]:
        """As `dfkdbench.workerprocess.training_process`. To end this one is to end it for all who share it."""
        self._came = True
        self._shared.join(Seat(plan, folder, launch, temporary))
        try:
            yield self._shared.wait(plan.run_id)
        finally:
            self._shared.leave()


class _Share:
    """The process as one judge has it."""

    def __init__(self, shared: SharedProcess, process: Popen[bytes], in_force: bytes, run_id: str) -> None:
        self._shared, self._process, self._run_id = shared, process, run_id
        self._stdout = BytesIO(in_force)

    @property
    def stdout(self) -> IO[bytes]:
        """What it said is in force: every judge reads that."""
        return self._stdout

    @property
    def returncode(self) -> int | None:
        """How it ended for this judge."""
        ended_for_another = self._shared.ended_for not in ("", self._run_id)
        code = self._process.returncode
        return EXIT_ENDED_FOR_ANOTHER if ended_for_another and code is not None else code

    def poll(self) -> int | None:
        """How it ended, or None."""
        self._process.poll()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, once it has."""
        return self._process.wait(timeout)

    def send_signal(self, sig: int) -> None:
        """Sends a signal, which is for all."""
        if sig == END_ALL:
            self._shared.ended_for = self._shared.ended_for or self._run_id
        self._process.send_signal(sig)

    def kill(self) -> None:
        """Ends it at once, for all."""
        self._process.kill()


def check_together(plan: Plan) -> None:
    """Refuses a plan whose runs can't share a process.

    Raises:
        PlanError: It needs another process than a sealed worker of its own.
    """
    why = ""
    if plan.side != "worker":
        why = "is a control on real data, which the judge runs in a process of its own"
    elif plan.teachers_apart:
        why = "sees labels alone, so that the teachers of each run answer from another process"
    if why:
        raise PlanError(f"'{plan.plugin}' {why}: its seeds can't be run --together. Use --jobs.")


def _check_alike(launches: Sequence[Launch]) -> None:
    """Compares what a process has once.

    Raises:
        PlanError: A run was started before with something else, which its numbers were rounded by.
    """
    for name in ("threads", "shortcuts", "capture"):
        found = sorted({str(getattr(launch, name)) for launch in launches})
        if len(found) > 1:
            raise PlanError(
                f"These runs can't go on in one process: they were started before with different {name} "
                f"({', '.join(found)}). Resume them without --together."
            )
    if launches[0].capture == "compile":
        raise PlanError(
            "These runs were started before with --capture compile, which is for one run a process. "
            "Resume them without --together."
        )

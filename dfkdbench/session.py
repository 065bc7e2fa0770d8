"""Drives an assembled run: rounds, snapshots at the evaluation points, reports, checkpoints.

Runs in the sealed worker, or in the judge's own control process. It knows no data path and no accuracy.
"""

from __future__ import annotations

import errno
import math
import resource
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import torch

from dfkdbench.access import explain
from dfkdbench.assembly import Assembly
from dfkdbench.budgets import OVER_BUDGET, OverBudgetError, over_budget
from dfkdbench.capture import Rounds, build_rounds
from dfkdbench.checkpoint import dump_tree, load_tree
from dfkdbench.crew import ALONE, Crew, LostProcessError
from dfkdbench.devices import prepare_torch
from dfkdbench.errors import IntegrityError, PlanError, RunError
from dfkdbench.files import read_no_follow, sha256_of, write_atomically
from dfkdbench.handover import sample_images
from dfkdbench.launch import Launch
from dfkdbench.plan import Plan
from dfkdbench.reports import append_line
from dfkdbench.runfolder import RunFolder
from dfkdbench.seams import Batch
from dfkdbench.teacherchannel import Pipes
from dfkdbench.weights import dump_weights

EXIT_FINISHED = 0
EXIT_ENDED_WITH_STATUS = 65
EXIT_DISK = 74
EXIT_CHECKPOINTED = 75
EXIT_LOST = 76
EXIT_CROWDED = 77


class DivergedError(Exception):
    """A loss or a weight is no finite number any more."""


class Session:
    """One start of a run, fresh or resumed.

    Args:
        real: Labelled real samples, for controls only.
        pipes: To the teachers' own process, where they have one.
        crew: The processes that do the run. The first of them alone writes, and all go by its clock.

    Attributes:
        rounds: How its rounds are run, once it has begun.
    """

    rounds: Rounds

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        launch: Launch,
        real: Batch | None = None,
        pipes: Pipes | None = None,
        crew: Crew = ALONE,
    ) -> None:
        self._started = self._last_report = self._last_checkpoint = time.monotonic()
        self.plan, self.folder, self.launch, self.crew = plan, folder, launch, crew
        self._asked_to_stop = self._stop = False
        self._seconds_before = 0.0
        self._snapshots = 0
        self.device = crew.place(plan.device)
        prepare_torch(self.device, launch.threads, launch.shortcuts)
        torch.manual_seed(plan.seed)
        weights = [Path(path) for path in launch.teacher_weights]
        self.assembly = Assembly(plan, weights, self.device, real, pipes, crew)
        self._resume()
        self._elapsed = self._seconds_before

    def run(self) -> int:
        """Runs to the end or to a stop signal; returns the exit code."""
        self.begin(build_rounds(self.assembly, self.launch.capture))
        while self.goes_on:
            self.rounds.advance()
            self.follow_up()
        return self.conclude()

    def begin(self, rounds: Rounds, own: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        """Takes what runs its rounds, and the block in which the framework's random numbers are the run's own."""
        self.rounds, self._own = rounds, own
        self._read_clock()

    @property
    def goes_on(self) -> bool:
        """Whether there is a round to run."""
        return not (self.assembly.loop.done or self._stop)

    def follow_up(self) -> None:
        """What is due after a round.

        Raises:
            DivergedError: A loss or a weight is not finite any more.
            OverBudgetError: The budget has no more seconds.
        """
        self.crew.settle(self.assembly.student)
        report_due, checkpoint_due = self._read_clock()
        self._hand_out_snapshots()
        self._check_seconds()
        if report_due:
            self._report("progress")
            self._last_report = time.monotonic()
        if checkpoint_due:
            self._save_checkpoint()
            self._last_checkpoint = time.monotonic()

    def conclude(self) -> int:
        """Leaves a checkpoint where the run was asked to stop, else what it hands out last; returns the exit code."""
        if self._stop:
            self._save_checkpoint()
            return EXIT_CHECKPOINTED
        self._hand_out_samples()
        return self.end("finished", "")

    @property
    def has_trained(self) -> bool:
        """Whether a step is done, in this start or before."""
        return self.assembly.meter.student_steps + self.assembly.meter.generator_steps > 0

    def request_stop(self, *_: object) -> None:
        """Asks for a checkpoint and an end after the current round."""
        self._asked_to_stop = True

    def _read_clock(self) -> tuple[bool, bool]:
        """Whether a report and a checkpoint are due. Where there are several processes all learn the same."""
        now = time.monotonic()
        report, checkpoint, stop, self._elapsed = self.crew.agree(
            now - self._last_report >= self.launch.report_seconds,
            now - self._last_checkpoint >= self.launch.checkpoint_seconds,
            self._asked_to_stop,
            self._seconds_before + now - self._started,
        )
        self._stop = bool(stop)
        return bool(report), bool(checkpoint)

    def _check_seconds(self) -> None:
        seconds, limit = self._elapsed, self.plan.budget.device_seconds
        if seconds > limit and not self.assembly.loop.done:
            raise OverBudgetError(over_budget("device_seconds", seconds, limit))

    def _hand_out_snapshots(self) -> None:
        points = self.plan.evaluate_at
        while self._snapshots < len(points) and self.assembly.meter.student_steps >= points[self._snapshots]:
            if self.crew.leads:
                write_atomically(self.folder.snapshot(self._snapshots), dump_weights(self.assembly.student))
            weights = [tensor for tensor in self.assembly.student.state_dict().values() if tensor.is_floating_point()]
            if not torch.stack([tensor.isfinite().all() for tensor in weights]).all():
                raise DivergedError("The student's weights are not finite any more.")
            self._report("snapshot", index=self._snapshots)
            self._snapshots += 1

    def _hand_out_samples(self) -> None:
        images = sample_images(self.assembly.generator, self.plan.input, self.plan.recipe.batch_size)
        if self.crew.leads:
            write_atomically(self.folder.raw_samples, images)

    def end(self, status: str, error: str) -> int:
        """Says how the run ended; returns the exit code."""
        if self.crew.leads if status == "finished" else self.crew.may_end():
            with suppress(DivergedError):
                self._report("end", status=status, error=error)
        return EXIT_FINISHED if status == "finished" else EXIT_ENDED_WITH_STATUS

    def _report(self, event: str, **more: object) -> None:
        means = self.assembly.meter.flush()
        line = {
            "event": event,
            "seconds": self._seconds(),
            "fraction": self._fraction(),
            "peak_memory_mb": self._peak_memory(),
            "replay_bytes": int(self.assembly.parts.replay.nbytes),
            "capture": self.rounds.capture.model_dump(),
            **self.assembly.meter.counters(),
            **more,
            "losses": {name: value for name, value in means.items() if math.isfinite(value)},
        }
        if self.crew.leads or event == "end":
            append_line(self.folder.reports, line)
        broken = sorted(name for name, value in means.items() if not math.isfinite(value))
        if broken:
            raise DivergedError(f"Not finite: {', '.join(broken)}.")

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def _fraction(self) -> float:
        planned = self.plan.student_steps + self.plan.generator_steps
        meter = self.assembly.meter
        return min(1.0, (meter.student_steps + meter.generator_steps) / planned)

    def _peak_memory(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

    def _save_checkpoint(self) -> None:
        self._report("progress")
        with self._own():
            held = self.assembly.state_dict()
        state = {
            "assembly": held,
            "snapshots": self._snapshots,
            "seconds": self._elapsed,
        }
        data = dump_tree(state)
        digest = sha256_of(data)[:16]
        self.crew.check_same("state", digest)
        if not self.crew.leads:
            return
        pending = self.folder.checkpoints / "pending.safetensors"
        write_atomically(pending, data)
        steps = self.assembly.meter.student_steps + self.assembly.meter.generator_steps
        kept = self.folder.checkpoints / f"{steps:012d}-{digest}.safetensors"
        pending.replace(kept)
        for older in self.folder.checkpoints.glob("*.safetensors"):
            if older.name < kept.name:
                older.unlink(missing_ok=True)

    def _resume(self) -> None:
        """Takes up the newest checkpoint, or starts from nothing."""
        saved = sorted(self.folder.checkpoints.glob("[0-9]*-*.safetensors"))
        self.crew.check_same("checkpoint", sha256_of("".join(path.name for path in saved[-1:]).encode()))
        if not saved:
            return
        path = saved[-1]
        if sha256_of(read_no_follow(path))[:16] != path.stem.partition("-")[2]:
            raise IntegrityError(
                f"{path} was changed or damaged: its content does not have the hash in its name. "
                "Delete it to start over, or run with --rerun."
            )
        state = load_tree(path)
        self.assembly.load_state_dict(state["assembly"])
        self._snapshots = state["snapshots"]
        self._seconds_before = state["seconds"]
        if self.crew.leads:
            append_line(self.folder.reports, {"event": "resumed", "student_steps": self.assembly.meter.student_steps})


def run_session(
    folder: RunFolder,
    plan: Plan,
    launch: Launch,
    real: Batch | None = None,
    pipes: Pipes | None = None,
    crew: Crew = ALONE,
) -> int:
    """Builds and runs a session; failures of plugins become a status in the report, never a lost record."""
    session = None
    try:
        session = Session(plan, folder, launch, real, pipes, crew)
        signal.signal(signal.SIGTERM, session.request_stop)
        return session.run()
    except Exception as error:  # whatever a plugin raises is the run's result, not the suite's crash
        return end_by(error, folder, plan, session, crew)


def end_by(error: Exception, folder: RunFolder, plan: Plan, session: Session | None, crew: Crew = ALONE) -> int:
    """Says how an error ended a run, whose session may not be built yet; returns the exit code."""
    if isinstance(error, LostProcessError):
        traceback.print_exception(error)
        return EXIT_LOST
    if session is not None and (status := _status_of(error)):
        try:
            return session.end(status, str(error))
        except Exception as another:
            return end_by(another, folder, plan, None, crew)
    begun = session is not None and session.has_trained
    if isinstance(error, IntegrityError | PlanError) and not begun:  # what a part sees when built or first called
        if crew.may_end():
            append_line(folder.reports, {"event": "refused", "error": error.message})
        return EXIT_ENDED_WITH_STATUS
    traceback.print_exception(error)
    if isinstance(error, RunError) or getattr(error, "errno", None) == errno.ENOSPC:
        return EXIT_DISK
    if crew.may_end():
        status = _status_of(error) or "failed"
        append_line(folder.reports, {"event": "end", "status": status, "error": explain(error, plan.access)[:2000]})
    return EXIT_ENDED_WITH_STATUS


def _status_of(error: Exception) -> str:
    """Of the run that an error of its own mathematics or bounds ends; nothing for any other."""
    kinds = {DivergedError: "diverged", torch.OutOfMemoryError: "out-of-memory", OverBudgetError: OVER_BUDGET}
    return next((status for kind, status in kinds.items() if isinstance(error, kind)), "")

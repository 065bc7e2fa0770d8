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
from contextlib import suppress
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field

from dfkdbench.access import explain
from dfkdbench.assembly import Assembly
from dfkdbench.budgets import OVER_BUDGET, OverBudgetError, over_budget
from dfkdbench.capture import build_rounds
from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.devices import prepare_torch
from dfkdbench.errors import IntegrityError, PlanError, RunError
from dfkdbench.files import read_no_follow, sha256_of, write_atomically
from dfkdbench.handover import sample_images
from dfkdbench.plan import Plan
from dfkdbench.reports import append_line
from dfkdbench.runfolder import RunFolder
from dfkdbench.seams import Batch
from dfkdbench.shortcuts import CAPTURES, SHORTCUTS
from dfkdbench.teacherchannel import Pipes
from dfkdbench.weights import dump_weights

EXIT_FINISHED = 0
EXIT_ENDED_WITH_STATUS = 65
EXIT_DISK = 74
EXIT_CHECKPOINTED = 75


class TeacherLaunch(BaseModel):
    """How the teachers' own process is started."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: tuple[str, ...]
    threads: int
    shortcuts: tuple[str, ...] = tuple(SHORTCUTS)
    isolation: str
    policy: str


class Launch(BaseModel):
    """How a worker is started. Nothing here can change the number on one machine but by rounding.

    Attributes:
        shortcuts: Those of `dfkdbench.shortcuts` that are in force.
        capture: How rounds may be captured, of `dfkdbench.shortcuts.CAPTURES`.
        teacher_weights: Paths; none where the teachers have a process of their own.
        teacher: How that one is started. The worker is not told.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher_weights: tuple[str, ...]
    threads: int
    shortcuts: tuple[str, ...] = tuple(SHORTCUTS)
    capture: str = CAPTURES[0]
    checkpoint_seconds: float
    report_seconds: float
    isolation: str
    policy: str
    cores: tuple[int, ...] = ()
    """Where the process may run; anywhere where there are none."""
    teacher: TeacherLaunch | None = Field(default=None, exclude=True)
    data_root: str | None = None
    """Given to controls on the judge's side only; None for every sealed worker."""


class DivergedError(Exception):
    """A loss or a weight is no finite number any more."""


class Session:
    """One start of a run, fresh or resumed.

    Args:
        real: Labelled real samples, for controls only.
        pipes: To the teachers' own process, where they have one.
    """

    def __init__(
        self, plan: Plan, folder: RunFolder, launch: Launch, real: Batch | None = None, pipes: Pipes | None = None
    ) -> None:
        self._started = self._last_report = self._last_checkpoint = time.monotonic()
        self.plan, self.folder, self.launch = plan, folder, launch
        self._stop = False
        self._seconds_before = 0.0
        self._snapshots = 0
        self.device = torch.device(plan.device)
        prepare_torch(self.device, launch.threads, launch.shortcuts)
        torch.manual_seed(plan.seed)
        weights = [Path(path) for path in launch.teacher_weights]
        self.assembly = Assembly(plan, weights, self.device, real, pipes)
        self._resume()
        self.rounds = build_rounds(self.assembly, launch.capture)

    def run(self) -> int:
        """Runs to the end, to a stop signal or to a failure; returns the exit code."""
        try:
            self._advance_until_done()
        except DivergedError as error:
            return self._end("diverged", str(error))
        except torch.OutOfMemoryError as error:
            return self._end("out-of-memory", str(error))
        except OverBudgetError as error:
            return self._end(OVER_BUDGET, str(error))
        if self._stop:
            self._save_checkpoint()
            return EXIT_CHECKPOINTED
        self._hand_out_samples()
        return self._end("finished", "")

    @property
    def has_trained(self) -> bool:
        """Whether a step is done, in this start or before."""
        return self.assembly.meter.student_steps + self.assembly.meter.generator_steps > 0

    def request_stop(self, *_: object) -> None:
        """Asks for a checkpoint and an end after the current round."""
        self._stop = True

    def _advance_until_done(self) -> None:
        loop, launch = self.assembly.loop, self.launch
        while not loop.done and not self._stop:
            self.rounds.advance()
            self._hand_out_snapshots()
            now = time.monotonic()
            self._check_seconds()
            if now - self._last_report >= launch.report_seconds:
                self._report("progress")
                self._last_report = now
            if now - self._last_checkpoint >= launch.checkpoint_seconds:
                self._save_checkpoint()
                self._last_checkpoint = time.monotonic()

    def _check_seconds(self) -> None:
        seconds, limit = self._seconds(), self.plan.budget.device_seconds
        if seconds > limit and not self.assembly.loop.done:
            raise OverBudgetError(over_budget("device_seconds", seconds, limit))

    def _hand_out_snapshots(self) -> None:
        points = self.plan.evaluate_at
        while self._snapshots < len(points) and self.assembly.meter.student_steps >= points[self._snapshots]:
            write_atomically(self.folder.snapshot(self._snapshots), dump_weights(self.assembly.student))
            weights = [tensor for tensor in self.assembly.student.state_dict().values() if tensor.is_floating_point()]
            if not torch.stack([tensor.isfinite().all() for tensor in weights]).all():
                raise DivergedError("The student's weights are not finite any more.")
            self._report("snapshot", index=self._snapshots)
            self._snapshots += 1

    def _hand_out_samples(self) -> None:
        images = sample_images(self.assembly.generator, self.plan.input, self.plan.recipe.batch_size)
        write_atomically(self.folder.raw_samples, images)

    def _end(self, status: str, error: str) -> int:
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
        state = {
            "assembly": self.assembly.state_dict(),
            "snapshots": self._snapshots,
            "seconds": self._seconds(),
        }
        pending = self.folder.checkpoints / "pending.safetensors"
        save_tree(state, pending)
        digest = sha256_of(pending.read_bytes())[:16]
        steps = self.assembly.meter.student_steps + self.assembly.meter.generator_steps
        kept = self.folder.checkpoints / f"{steps:012d}-{digest}.safetensors"
        pending.replace(kept)
        for older in self.folder.checkpoints.glob("*.safetensors"):
            if older.name < kept.name:
                older.unlink(missing_ok=True)

    def _resume(self) -> None:
        """Takes up the newest checkpoint, or starts from nothing."""
        saved = sorted(self.folder.checkpoints.glob("[0-9]*-*.safetensors"))
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
        append_line(self.folder.reports, {"event": "resumed", "student_steps": self.assembly.meter.student_steps})


def run_session(
    folder: RunFolder, plan: Plan, launch: Launch, real: Batch | None = None, pipes: Pipes | None = None
) -> int:
    """Builds and runs a session; failures of plugins become a status in the report, never a lost record."""
    session = None
    try:
        session = Session(plan, folder, launch, real, pipes)
        signal.signal(signal.SIGTERM, session.request_stop)
        return session.run()
    except Exception as error:  # whatever a plugin raises is the run's result, not the suite's crash
        begun = session is not None and session.has_trained
        if isinstance(error, IntegrityError | PlanError) and not begun:  # what a part sees when built or first called
            append_line(folder.reports, {"event": "refused", "error": error.message})
            return EXIT_ENDED_WITH_STATUS
        traceback.print_exc()
        if isinstance(error, RunError) or getattr(error, "errno", None) == errno.ENOSPC:
            return EXIT_DISK
        status = OVER_BUDGET if isinstance(error, OverBudgetError) else "failed"
        append_line(folder.reports, {"event": "end", "status": status, "error": explain(error, plan.access)[:2000]})
        return EXIT_ENDED_WITH_STATUS

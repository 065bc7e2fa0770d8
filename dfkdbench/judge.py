"""The judge: starts the sealed worker, evaluates what it hands out, and writes the record last.

The worker gets no data path and no accuracy; the judge reads what the worker writes as hostile input.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dfkdbench.assembly import build_network
from dfkdbench.budgets import OVER_BUDGET, Clock, overspent
from dfkdbench.datasets.images import ImageSet
from dfkdbench.datasets.loading import describe_reading
from dfkdbench.environment import environment
from dfkdbench.errors import IntegrityError, RunError
from dfkdbench.figures.final import judge_images
from dfkdbench.figures.teachers import JudgesTeachers
from dfkdbench.files import (
    empty_folder,
    exclusive_lock,
    no_full_disk,
    remove,
    write_atomically,
    write_json,
)
from dfkdbench.handover import HandedOver, read_images
from dfkdbench.intake import Intake
from dfkdbench.launch import Launch
from dfkdbench.plan import Plan
from dfkdbench.readout import judge_heads
from dfkdbench.records import HeadFigures, Result, read_result, summarise
from dfkdbench.runfolder import RunFolder
from dfkdbench.session import EXIT_CROWDED, EXIT_DISK, EXIT_LOST, run_session
from dfkdbench.sharedprocess import EXIT_ENDED_FOR_ANOTHER
from dfkdbench.teacherhost import TeacherHost, teacher_process
from dfkdbench.tuning import Provenance
from dfkdbench.weights import load_weights, parse_weights
from dfkdbench.workerprocess import (
    IN_PROCESS,
    InterruptedRun,
    Process,
    end,
    first_line,
    signals_to,
    temporary_folder,
    training_process,
)

_POLL_SECONDS = 0.05
_FULL_DISK = "The run {} could not be written to {}: is the disk full? It resumes with the same command."


@dataclass
class Bench:
    """What the judge brings to a run beside the plan.

    Attributes:
        launch: Makes the start parameters of a worker from its run folder, its temporary folder and that of the
            teachers' own process.
        teacher_accuracy: Percent, from the first teacher's card.
        teacher_weights: Paths, in the plan's order, for the judge's own copies of the teachers.
        student_heads: Heads of the student by its description, or 0.
        readout_samples: Labelled real samples for the plan's readout, where it has one; used once the worker has ended.
        notify: `notify(hook, participants, **arguments)` calls the observers.
        provenance: How the plan's values came about, for the record.
        start: Starts the training process: one of the run's own, or one that several runs share.
    """

    test_set: ImageSet
    launch: Callable[[RunFolder, Path, Path], Launch]
    teacher_accuracy: float
    teacher_weights: tuple[Path, ...]
    notify: Callable[..., None]
    evaluation_device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    student_heads: int = 0
    readout_samples: ImageSet | None = None
    provenance: Provenance | None = None
    start: Callable[..., AbstractContextManager[Process]] = training_process


def execute(plan: Plan, root: Path, bench: Bench, rerun: bool = False) -> Result:
    """Runs a plan to its record, or returns the record that is there.

    Args:
        root: The folder of all runs.

    Raises:
        BusyError: Another process works on the run.
        RunError: The worker was killed, or the disk is full; the run can resume.
        InterruptedRun: SIGINT or SIGTERM came; the run left a checkpoint.
    """
    folder = RunFolder(root / plan.run_id)
    folder.root.mkdir(parents=True, exist_ok=True)
    busy = f"The run {plan.run_id} is being worked on by another process. Wait for it, or choose another --out."
    with exclusive_lock(folder.lock, busy), no_full_disk(_FULL_DISK.format(plan.run_id, folder.root)):
        if folder.result.exists() and not rerun:
            return read_result(folder.result)
        if rerun:
            folder.forget()
        folder.create()
        write_json(folder.plan, plan.model_dump(mode="json"))
        write_json(folder.environment, {**environment(plan), "test_set": describe_reading(bench.test_set)})
        return _Trial(plan, folder, bench).run()


class _Trial:
    """One start of a run as the judge sees it."""

    def __init__(self, plan: Plan, folder: RunFolder, bench: Bench) -> None:
        self.plan, self.folder, self.bench = plan, folder, bench
        self.network = build_network(plan.student, plan.input).to(bench.evaluation_device)
        self.teachers = JudgesTeachers(plan, bench.teacher_weights, bench.test_set, bench.evaluation_device)
        self.intake = Intake(plan, folder, self.network, self.teachers, bench.test_set, self._notify)
        self.isolation = ""

    def run(self) -> Result:
        for own in (self.folder.evaluations, self.folder.metrics):
            own.write_text("", encoding="utf-8")
        self.intake.recall()
        with temporary_folder() as temporary, temporary_folder() as apart:
            launch = self.bench.launch(self.folder, temporary, apart)
            if launch.isolation == IN_PROCESS:
                exit_status, stopped_by = self._run_here(launch)
            else:
                exit_status, stopped_by = self._watch_worker(launch, temporary, apart)
        if stopped_by and self.intake.end is None:
            raise InterruptedRun(stopped_by)
        result = self._conclude(exit_status)
        if stopped_by:
            raise InterruptedRun(stopped_by)
        return result

    def _watch_worker(self, launch: Launch, temporary: Path, apart: Path) -> tuple[int, int]:
        """Exit status of the worker, and the signal that asked for the end, or 0."""
        with (
            teacher_process(self.folder, launch.teacher, apart) as host,
            self.bench.start(self.plan, self.folder, launch, temporary, host.ends if host else ()) as worker,
            signals_to(worker) as received,
        ):
            self._started(first_line(worker), host)
            try:
                clock = Clock(self.plan, self.intake.seconds_before)
                while worker.poll() is None and not clock.excess():
                    self.intake.drain()
                    time.sleep(_POLL_SECONDS)
                self.intake.drain()
                if worker.poll() is None and self.intake.end is None:
                    end(worker)
                    self.intake.end = {"status": OVER_BUDGET, "error": clock.excess()}
            except IntegrityError as error:  # what the worker hands out is wrong: that is the run's result
                end(worker)
                self.intake.end = {"status": "failed", "error": error.message}
            if host and self.intake.end and self.intake.end["status"] == "failed" and host.was_killed():
                raise RunError(
                    f"The teachers of {self.plan.run_id} were killed. The run resumes with the same command."
                )
        return worker.returncode or 0, received[0] if received else 0

    def _run_here(self, launch: Launch) -> tuple[int, int]:
        """The session inside this process, for debugging; its snapshots are evaluated at the end."""
        if self.plan.side != "worker":
            raise RunError("Controls on real data have a process of their own; --isolation in-process is for methods.")
        self._started("none: in process")
        exit_status = run_session(self.folder, self.plan, launch)
        self.intake.drain()
        return exit_status, 0

    def _started(self, isolation: str, host: TeacherHost | None = None) -> None:
        self.isolation = isolation
        if host and (theirs := first_line(host.process)) not in ("", isolation):
            raise IntegrityError(f"The worker's isolation is '{isolation}' and that of its teachers '{theirs}'.")
        if isolation:
            self._notify("dfkdbench_run_started", plan=self.plan.model_dump(mode="json"), isolation=isolation)

    def _conclude(self, returncode: int) -> Result:
        """Writes the record, or says why there is none."""
        if self.intake.refusal:
            raise IntegrityError(self.intake.refusal)
        if self.intake.end is None:
            raise RunError(_why_without_end(self.plan, self.folder, returncode))
        status, error = self.intake.end["status"], self.intake.end["error"]
        if excess := overspent(self.plan, self.intake.last):
            status, error = OVER_BUDGET, excess
        handed, heads, images = None, None, None
        if status == "finished":
            status, error, handed = self._take_over()
        if handed is not None:
            write_atomically(self.folder.student, self.intake.newest_student)
            heads, images = self._judge_heads(), judge_images(self.plan, self.folder, self.teachers, handed)
        result = summarise(
            self.plan,
            status,
            error,
            self.intake.in_order(),
            self.intake.last,
            self.isolation,
            self.bench.teacher_accuracy,
            heads,
            self.intake.class_accuracies,
            images,
            self.bench.provenance,
        )
        write_json(self.folder.result, result.model_dump(mode="json"))
        empty_folder(self.folder.checkpoints)
        remove(self.folder.raw_samples)
        shutil.rmtree(self.folder.scratch, ignore_errors=True)
        self._notify("dfkdbench_run_finished", result=result.model_dump(mode="json"))
        return result

    def _take_over(self) -> tuple[str, str, HandedOver | None]:
        """How a run ended whose worker says that it finished: status, error, and its images if it did finish."""
        if len(self.intake.evaluations) != len(self.plan.evaluate_at):
            return "failed", "The worker finished without handing out every snapshot.", None
        try:
            return "finished", "", read_images(self.folder.raw_samples, self.plan.input)
        except IntegrityError as wrong:
            return "failed", wrong.message, None

    def _judge_heads(self) -> HeadFigures | None:
        """The final student's heads, where it has several, and the readout that is fitted to them now."""
        bench = self.bench
        if not bench.student_heads:
            return None
        weights = parse_weights(self.intake.newest_student, "the final student")
        load_weights(self.network, weights, "the final student")
        samples = bench.readout_samples
        return judge_heads(self.plan, self.folder, self.network, bench.student_heads, bench.test_set, samples)

    def _notify(self, hook: str, **arguments: Any) -> None:
        self.bench.notify(hook, self.plan.participants, run_id=self.plan.run_id, **arguments)


def _why_without_end(plan: Plan, folder: RunFolder, returncode: int) -> str:
    """What became of a worker that did not say how its run ended."""
    said, resumes = f"what it said is in {folder.worker_log}", "The run resumes with the same command."
    if returncode == EXIT_DISK:
        return _FULL_DISK.format(plan.run_id, folder.root)
    if returncode == EXIT_LOST:
        of_whom = f"the {plan.processes} processes of {plan.run_id}"
        return f"One of {of_whom} was lost, and the others with it; {said}. {resumes}"
    if returncode == EXIT_CROWDED:
        return (
            f"{plan.run_id} and the runs together with it need more memory than there is; {said}. "
            "They resume with fewer --seeds, or without --together."
        )
    if returncode == EXIT_ENDED_FOR_ANOTHER:
        return f"The process of {plan.run_id} was ended because of another run that it was shared with. {resumes}"
    return f"The worker of {plan.run_id} ended without a word (exit status {returncode}); {said}. {resumes}"

"""The judge: starts the sealed worker, evaluates what it hands out, and writes the record last.

The worker gets no data path and no accuracy; the judge reads what the worker writes as hostile input.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dfkdbench.assembly import build_network
from dfkdbench.datasets.images import ImageSet
from dfkdbench.errors import IntegrityError, RunError
from dfkdbench.evaluate import evaluate
from dfkdbench.files import exclusive_lock, read_no_follow, sha256_of, write_atomically, write_json
from dfkdbench.plan import Plan
from dfkdbench.readout import judge_heads
from dfkdbench.records import HeadFigures, Result, environment, read_result, summarise
from dfkdbench.runfolder import RunFolder
from dfkdbench.samples import write_sheet
from dfkdbench.session import EXIT_CHECKPOINTED, EXIT_DISK, Launch, append_line, run_session
from dfkdbench.tuning import Provenance
from dfkdbench.weights import load_weights, parse_weights
from dfkdbench.workerprocess import IN_PROCESS, first_line, signals_to, temporary_folder, training_process

_POLL_SECONDS = 0.05
_LINE_LIMIT = 1 << 20
_REPORT_LIMIT = 1 << 30


class InterruptedRun(Exception):  # noqa: N818 - a request, not an error
    """The run was asked to stop; it left a checkpoint."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.exit_code = 130 if signal_number == signal.SIGINT else EXIT_CHECKPOINTED


@dataclass
class Bench:
    """What the judge brings to a run beside the plan.

    Attributes:
        launch: Makes the start parameters of a worker from its run folder and its temporary folder.
        teacher_accuracy: Percent, from the first teacher's card.
        student_heads: Heads of the student by its description, or 0.
        readout_samples: Labelled real samples for the plan's readout, where it has one; used once the worker has ended.
        notify: `notify(hook, participants, **arguments)` calls the observers.
        provenance: How the plan's values came about, for the record.
    """

    test_set: ImageSet
    launch: Callable[[RunFolder, Path], Launch]
    teacher_accuracy: float
    notify: Callable[..., None]
    evaluation_device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    student_heads: int = 0
    readout_samples: ImageSet | None = None
    provenance: Provenance | None = None


def execute(plan: Plan, root: Path, bench: Bench, rerun: bool = False) -> Result:
    """Runs a plan to its record, or returns the record that is there.

    Args:
        root: The folder of all runs.

    Raises:
        RunError: Another process works on the run, or the worker was killed; the run can resume.
        InterruptedRun: SIGINT or SIGTERM came; the run left a checkpoint.
    """
    folder = RunFolder(root / plan.run_id)
    folder.root.mkdir(parents=True, exist_ok=True)
    busy = f"The run {plan.run_id} is being worked on by another process. Wait for it, or choose another --out."
    with exclusive_lock(folder.lock, busy):
        if folder.result.exists() and not rerun:
            return read_result(folder.result)
        if rerun:
            _forget(folder)
        folder.create()
        write_json(folder.plan, plan.model_dump(mode="json"))
        write_json(folder.environment, environment(plan))
        return _Trial(plan, folder, bench).run()


class _Trial:
    """One start of a run as the judge sees it."""

    def __init__(self, plan: Plan, folder: RunFolder, bench: Bench) -> None:
        self.plan, self.folder, self.bench = plan, folder, bench
        self.network = build_network(plan.student, plan.input).to(bench.evaluation_device)
        self.evaluations: dict[int, dict[str, Any]] = {}
        self.last: dict[str, Any] = {}
        self.end: dict[str, Any] | None = None
        self.refusal = ""
        self.isolation = ""
        self._newest_student = b""
        self._read_bytes = 0
        self._torn = b""

    def run(self) -> Result:
        for own in (self.folder.evaluations, self.folder.metrics):
            own.write_text("", encoding="utf-8")
        self._drain(past=True)
        with temporary_folder() as temporary:
            launch = self.bench.launch(self.folder, temporary)
            if launch.isolation == IN_PROCESS:
                exit_status, stopped_by = self._run_here(launch)
            else:
                exit_status, stopped_by = self._watch_worker(launch, temporary)
        if stopped_by and self.end is None:
            raise InterruptedRun(stopped_by)
        result = self._conclude(exit_status)
        if stopped_by:
            raise InterruptedRun(stopped_by)
        return result

    def _watch_worker(self, launch: Launch, temporary: Path) -> tuple[int, int]:
        """Exit status of the worker, and the signal that asked for the end, or 0."""
        with training_process(self.plan, self.folder, launch, temporary) as worker, signals_to(worker) as received:
            self._started(first_line(worker))
            try:
                while worker.poll() is None:
                    self._drain()
                    time.sleep(_POLL_SECONDS)
                self._drain()
            except IntegrityError as error:  # what the worker hands out is wrong: that is the run's result
                worker.kill()
                self.end = {"status": "failed", "error": error.message}
        return worker.returncode or 0, received[0] if received else 0

    def _run_here(self, launch: Launch) -> tuple[int, int]:
        """The session inside this process, for debugging; its snapshots are evaluated at the end."""
        if self.plan.side != "worker":
            raise RunError("Controls on real data have a process of their own; --isolation in-process is for methods.")
        self._started("none: in process")
        exit_status = run_session(self.folder, self.plan, launch)
        self._drain()
        return exit_status, 0

    def _started(self, isolation: str) -> None:
        self.isolation = isolation
        if isolation:
            self._notify("dfkdbench_run_started", plan=self.plan.model_dump(mode="json"), isolation=isolation)

    def _drain(self, past: bool = False) -> None:
        """Takes in every whole line the worker has reported since the last time.

        Of the lines of an earlier start (`past`) only the snapshots count: the same plan gives the same ones.
        """
        data = read_no_follow(self.folder.reports, limit=_REPORT_LIMIT, start=self._read_bytes)
        self._read_bytes += len(data)
        *lines, self._torn = (self._torn + data).split(b"\n")
        for report in map(_parse_line, lines):
            append_line(self.folder.metrics, report)
            try:
                if not past:
                    self._take(report)
                elif report.get("event") == "snapshot":
                    self._evaluate(int(report["index"]), report)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise IntegrityError(f"The worker wrote a report that can't be used: {error!r}.") from None

    def _take(self, report: dict[str, Any]) -> None:
        event = report.get("event")
        if event == "refused":
            self.refusal = str(report.get("error"))
            return
        self.last = {**self.last, **report}
        if event == "snapshot":
            self._evaluate(int(report["index"]), report)
        if event == "end":
            self.end = report
        self._notify("dfkdbench_report", report=report)

    def _evaluate(self, index: int, report: Mapping[str, Any]) -> None:
        """Evaluates a snapshot on the real test set, once."""
        if not 0 <= index < len(self.plan.evaluate_at):
            raise IntegrityError(f"The worker handed out a snapshot {index} that the plan does not have.")
        path = self.folder.snapshot(index)
        data = read_no_follow(path, limit=_size_limit(self.network))
        if self.evaluations.get(index, {}).get("sha256") == sha256_of(data):
            return
        self._newest_student = data
        load_weights(self.network, parse_weights(data, str(path)), str(path))
        spec = self.plan.input
        found = evaluate(self.network, self.bench.test_set, spec.mean, spec.std, self.bench.evaluation_device)
        evaluation = {
            "index": index,
            "student_steps": report["student_steps"],
            "student_samples": report["student_samples"],
            "teacher_queries": report["teacher_queries"],
            "replay_bytes": report.get("replay_bytes", 0),
            "seconds": report["seconds"],
            "accuracy": found.accuracy,
            "calibration_error": found.calibration_error,
            "worst_class_accuracy": found.worst_class_accuracy,
            "sha256": sha256_of(data),
        }
        self.evaluations[index] = evaluation
        append_line(self.folder.evaluations, evaluation)
        self._notify("dfkdbench_evaluated", evaluation=evaluation)

    def _conclude(self, returncode: int) -> Result:
        """Writes the record, or says why there is none."""
        if self.refusal:
            raise IntegrityError(self.refusal)
        if returncode == EXIT_DISK:
            raise RunError(
                f"The worker of {self.plan.run_id} could not write to {self.folder.root}: is the disk full? "
                "The run resumes with the same command."
            )
        if self.end is None:
            raise RunError(
                f"The worker of {self.plan.run_id} ended without a word (exit status {returncode}); its output is in "
                f"{self.folder.worker_log}. The run resumes with the same command."
            )
        status, error = str(self.end["status"]), str(self.end.get("error", ""))
        if status == "finished" and len(self.evaluations) != len(self.plan.evaluate_at):
            status, error = "failed", "The worker finished without handing out every snapshot."
        heads = None
        if status == "finished":
            write_atomically(self.folder.student, self._newest_student)
            write_sheet(self.folder.raw_samples, self.folder.samples, self.plan.input)
            heads = self._judge_heads()
        ordered = [self.evaluations[index] for index in sorted(self.evaluations)]
        bench, last, isolation = self.bench, self.last, self.isolation
        result = summarise(
            self.plan, status, error, ordered, last, isolation, bench.teacher_accuracy, heads, bench.provenance
        )
        write_json(self.folder.result, result.model_dump(mode="json"))
        for checkpoint in self.folder.checkpoints.iterdir():
            checkpoint.unlink()
        shutil.rmtree(self.folder.scratch, ignore_errors=True)
        self._notify("dfkdbench_run_finished", result=result.model_dump(mode="json"))
        return result

    def _judge_heads(self) -> HeadFigures | None:
        """The final student's heads, where it has several, and the readout that is fitted to them now."""
        bench = self.bench
        if not bench.student_heads:
            return None
        load_weights(self.network, parse_weights(self._newest_student, "the final student"), "the final student")
        samples = bench.readout_samples
        return judge_heads(self.plan, self.folder, self.network, bench.student_heads, bench.test_set, samples)

    def _notify(self, hook: str, **arguments: Any) -> None:
        self.bench.notify(hook, self.plan.participants, run_id=self.plan.run_id, **arguments)


def _parse_line(line: bytes) -> dict[str, Any]:
    try:
        report = json.loads(line[:_LINE_LIMIT])
    except ValueError:
        raise IntegrityError("The worker wrote a report that is no JSON line.") from None
    if not isinstance(report, dict):
        raise IntegrityError("The worker wrote a report that is no JSON object.")
    return report


def _size_limit(network: torch.nn.Module) -> int:
    return int(sum(tensor.nbytes for tensor in network.state_dict().values())) + (1 << 20)


def _forget(folder: RunFolder) -> None:
    """Removes what an earlier run of the id left, the record first."""
    folder.result.unlink(missing_ok=True)
    for name in (folder.checkpoints, folder.snapshots):
        if name.exists():
            for file in name.iterdir():
                file.unlink()
    folder.reports.unlink(missing_ok=True)
    folder.launch.unlink(missing_ok=True)

"""What the judge takes in from a worker: reports and snapshots, read as hostile input, each snapshot judged once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from dfkdbench.datasets.images import ImageSet
from dfkdbench.errors import IntegrityError
from dfkdbench.evaluate import judge_student
from dfkdbench.figures.teachers import JudgesTeachers
from dfkdbench.files import read_no_follow, sha256_of
from dfkdbench.plan import Plan
from dfkdbench.reports import EVALUATION_BYTES, ReportReader, append_line, checked
from dfkdbench.runfolder import RunFolder
from dfkdbench.weights import size_limit

_SPENT = ("student_steps", "student_samples", "teacher_queries", "replay_bytes", "seconds")


class Intake:
    """Everything a run's workers have handed out so far.

    Args:
        network: The plan's student, on the device that evaluates; takes the weights of each snapshot.
        notify: `notify(hook, **arguments)` calls the observers.

    Attributes:
        evaluations: By the index of their snapshot.
        class_accuracies: Of the newest snapshot, per class in percent.
        newest_student: The bytes of its file.
        last: The newest value of everything that this start reported.
        end: How the worker says that it ended, once it does.
        refusal: Why it did not begin, where it says so.
        seconds_before: What earlier starts took.
    """

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        network: nn.Module,
        teachers: JudgesTeachers,
        test_set: ImageSet,
        notify: Callable[..., None],
    ) -> None:
        self.plan, self.folder, self.network = plan, folder, network
        self.teachers, self.test_set, self._notify = teachers, test_set, notify
        self.evaluations: dict[int, dict[str, Any]] = {}
        self.class_accuracies: tuple[float | None, ...] = ()
        self.newest_student = b""
        self.last: dict[str, Any] = {}
        self.end: dict[str, Any] | None = None
        self.refusal = ""
        self.seconds_before = 0.0
        self._handed_out = -1
        self._reports = ReportReader(folder.reports)

    def recall(self) -> None:
        """Takes in what earlier starts reported: of that only the snapshots count, as the same plan gives the same.

        Raises:
            IntegrityError: As `drain`.
        """
        for report in self._new():
            self.seconds_before = float(report.get("seconds", self.seconds_before))
            if report["event"] == "snapshot":
                self._evaluate(report["index"], report)
        self._reports.cut_torn()

    def drain(self) -> None:
        """Takes in every whole line the worker has reported since the last time.

        Raises:
            IntegrityError: It reports what no worker would, or handed out what is no student of the plan.
        """
        for report in self._new():
            self._take(report)

    def in_order(self) -> list[dict[str, Any]]:
        """The evaluations, as the run went."""
        return [self.evaluations[index] for index in sorted(self.evaluations)]

    def _new(self) -> Iterator[dict[str, Any]]:
        for report in map(checked, self._reports.new()):
            append_line(self.folder.metrics, report)
            yield report

    def _take(self, report: dict[str, Any]) -> None:
        event = report["event"]
        if event == "refused":
            if self.last:
                raise IntegrityError("The worker says that it refused the plan after it had begun.")
            self.refusal = report["error"]
            return
        self.last = {**self.last, **report}
        if event == "snapshot":
            self._take_snapshot(report["index"], report)
        if event == "end":
            self.end = report
        self._notify("dfkdbench_report", report=report)

    def _take_snapshot(self, index: int, report: Mapping[str, Any]) -> None:
        """Evaluates a snapshot of this start: each counts once, in order."""
        if index <= self._handed_out:
            raise IntegrityError(f"The worker handed out snapshot {index} after snapshot {self._handed_out}.")
        self._handed_out = index
        self._evaluate(index, report)

    def _evaluate(self, index: int, report: Mapping[str, Any]) -> None:
        """Evaluates a snapshot on the real test set, once."""
        if not 0 <= index < len(self.plan.evaluate_at):
            raise IntegrityError(f"The worker handed out a snapshot {index} that the plan does not have.")
        path = self.folder.snapshot(index)
        data = read_no_follow(path, limit=size_limit(self.network))
        if self.evaluations.get(index, {}).get("sha256") == sha256_of(data):
            return
        found = judge_student(self.network, data, str(path), self.plan, self.test_set)
        evaluation = {
            "index": index,
            **{name: report[name] for name in _SPENT},
            "accuracy": found.accuracy,
            "calibration_error": found.calibration_error,
            "worst_class_accuracy": found.worst_class_accuracy,
            "worst_class": found.worst_class,
            "agreement": self.teachers.agreement_with(found),
            "sha256": sha256_of(data),
        }
        if index >= max(self.evaluations, default=0):
            self.newest_student, self.class_accuracies = data, found.class_accuracies
        self.evaluations[index] = evaluation
        append_line(self.folder.evaluations, evaluation, EVALUATION_BYTES)
        self._notify("dfkdbench_evaluated", evaluation=evaluation)

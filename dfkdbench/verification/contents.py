"""Level 0: the files are whole, belong together, and their numbers follow from each other."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator

from dfkdbench import PROTOCOL
from dfkdbench.agreement import repeated_in_record
from dfkdbench.files import sha256_of
from dfkdbench.plan import Plan
from dfkdbench.records import SCHEMA, HeadFigures, ReadoutFigures, Result, summarise
from dfkdbench.runfolder import RunFolder
from dfkdbench.sandbox import HIGH_PORTS
from dfkdbench.verification.checks import Findings
from dfkdbench.verification.stored import (
    Stored,
    read_packages,
    read_plan,
    read_record,
    read_shortcuts,
    read_student,
    read_threads,
)

_CLOCK_SKEW = datetime.timedelta(minutes=10)
_ISOLATIONS = r"(landlock abi \d+|audit hook)(; high ports open)?|none|none: in process|none: control on real data"
_STATUSES = ("finished", "diverged", "out-of-memory", "failed", "over-budget")
_RECOMPUTED = (
    "accuracy_final",
    "accuracy_oracle",
    "accuracy_mean",
    "accuracy_variance",
    "accuracy_last5",
    "worst_drop",
    "accuracy_mean_head",
    "student_sha256",
)
_PERCENT = (
    "accuracy_final",
    "accuracy_oracle",
    "accuracy_mean",
    "accuracy_last5",
    "worst_drop",
    "teacher_accuracy",
    "accuracy_mean_head",
    "accuracy_ensemble",
)
_SPENT = ("student_samples", "teacher_queries", "train_seconds", "peak_memory_mb", "replay_bytes", "readout_samples")


def check_contents(folder: RunFolder, findings: Findings) -> Stored | None:
    """Makes every check of this level that needs no data; what the folder holds, where that could be read."""
    fine = f"result.json is a whole record of schema {SCHEMA}"
    record = findings.attempt(0, "record", lambda: read_record(folder), fine)
    plan = findings.attempt(0, "plan", lambda: read_plan(folder), "plan.json is a whole plan")
    if record is None or plan is None:
        return None
    findings.add(0, "run id", _wrong_id(folder, record, plan), f"{plan.run_id} is the hash of the plan")
    findings.add(0, "agreement", _disagreement(record, plan), "record and plan say the same of the run")
    student = None
    with findings.failing(0, "student"):
        student = read_student(folder, record)
        fine = "student.safetensors has the recorded hash" if student else f"none: the run ended as {record.status}"
        findings.add(0, "student", _wrong_student(student, record, plan), fine)
    count = len(record.evaluations)
    findings.add(0, "curve", _wrong_curve(record, plan), f"{count} evaluations, at the planned steps, in order")
    findings.add(0, "figures", _wrong_figures(record, plan), "final, best, mean and the like follow from the curve")
    findings.add(0, "budget", _over_budget(record, plan), _spent(record, plan))
    findings.add(0, "origin", _wrong_origin(record, plan), f"{record.finished_at}, {record.isolation}")
    rounding = (read_threads(folder), read_packages(folder), read_shortcuts(folder))
    return Stored(folder, record, plan, student, *rounding)


def check_whole_images(record: Result, images: int) -> str:
    """The first accuracy that is no whole number of images of the test set, or nothing."""
    accuracies = {f"evaluations.{each.index}.accuracy": each.accuracy for each in record.evaluations}
    accuracies |= {f"head_accuracies.{index}": value for index, value in enumerate(record.head_accuracies)}
    agreements = {f"evaluations.{each.index}.agreement": each.agreement for each in record.evaluations}
    accuracies |= {name: value for name, value in agreements.items() if value is not None}
    for name in ("accuracy_final", "accuracy_oracle", "accuracy_ensemble"):
        value = getattr(record, name)
        if value is not None:
            accuracies[name] = value
    for name, value in accuracies.items():
        correct = value * images / 100
        if abs(correct - round(correct)) > 1e-6:
            return f"{name} is {value} %, which is {correct:.4f} of {images:,} test images, expected a whole number"
    return ""


def _wrong_id(folder: RunFolder, record: Result, plan: Plan) -> str:
    if record.run_id != plan.run_id:
        return f"plan.json hashes to {plan.run_id}, and result.json is the record of {record.run_id}: one was changed"
    if folder.root.name != plan.run_id:
        return f"the folder is called {folder.root.name}, and it holds the run {plan.run_id}"
    return ""


def _disagreement(record: Result, plan: Plan) -> str:
    expected = repeated_in_record(plan)
    if record.status == "finished":
        expected["readout"] = plan.readout.name if plan.readout else None
    for name, value in expected.items():
        found = getattr(record, name)
        if found != value:
            return f"{name} is {found!r} in result.json and {value!r} in plan.json"
    return ""


def _wrong_student(student: bytes | None, record: Result, plan: Plan) -> str:
    if student is None:
        return (
            "" if record.student_sha256 is None else f"the run ended as {record.status} and its record names a student"
        )
    found = sha256_of(student)
    if found != record.student_sha256:
        recorded = str(record.student_sha256)[:12]
        return f"student.safetensors has sha256 {found[:12]}..., the record says {recorded}...: another student"
    for teacher in plan.teachers:
        if found == teacher.sha256:
            return f"student.safetensors is the file of the teacher {teacher.name}"
    return ""


def _wrong_curve(record: Result, plan: Plan) -> str:
    return next(_curve_problems(record, plan), "")


def _curve_problems(record: Result, plan: Plan) -> Iterator[str]:
    evaluations, points = record.evaluations, plan.evaluate_at
    if len(evaluations) > len(points) or (record.status == "finished" and len(evaluations) != len(points)):
        yield f"{len(evaluations)} evaluations, the plan has {len(points)}"
        return
    a_round = max(planned.phase.student_steps for planned in plan.phases)
    before = None
    for index, each in enumerate(evaluations):
        if each.index != index:
            yield f"evaluation {index} has the index {each.index}"
        if not points[index] <= each.student_steps < points[index] + max(1, a_round):
            yield f"evaluation {index} is after {each.student_steps} student steps, the plan says {points[index]}"
        for name in ("accuracy", "calibration_error", "worst_class_accuracy"):
            if not 0 <= getattr(each, name) <= 100:
                yield f"evaluation {index}: {name} is {getattr(each, name)}, expected 0 to 100"
        if each.worst_class_accuracy > each.accuracy + 1e-9:
            yield f"evaluation {index}: the worst class is better than the whole"
        for name in ("student_samples", "teacher_queries", "seconds"):
            if getattr(each, name) < (getattr(before, name) if before else 0):
                yield f"evaluation {index}: {name} falls to {getattr(each, name)}"
        if not re.fullmatch("[0-9a-f]{64}", each.sha256):
            yield f"evaluation {index}: sha256 is no hash"
        before = each


def _wrong_figures(record: Result, plan: Plan) -> str:
    for name in _PERCENT:
        value = getattr(record, name)
        if value is not None and not 0 <= value <= 100:
            return f"{name} is {value}, expected 0 to 100"
    if record.status == "finished" and not record.evaluations:
        return "the run finished without an evaluation"
    again = summarise(
        plan,
        record.status,
        record.error,
        [each.model_dump() for each in record.evaluations],
        {},
        record.isolation,
        record.teacher_accuracy,
        _heads(record),
    )
    for name in _RECOMPUTED:
        found, expected = getattr(record, name), getattr(again, name)
        if not _equal(found, expected):
            return f"{name} is {found}, the evaluations give {expected}"
    return ""


def _heads(record: Result) -> HeadFigures | None:
    if not record.head_accuracies or record.accuracy_ensemble is None:
        return None
    readout = None
    if record.readout is not None and record.accuracy_final is not None:
        readout = ReadoutFigures(
            record.readout, record.accuracy_final, record.readout_samples, str(record.readout_sha256)
        )
    return HeadFigures(record.head_accuracies, record.accuracy_ensemble, readout)


def _equal(found: object, expected: object) -> bool:
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)
    return found == expected


def _over_budget(record: Result, plan: Plan) -> str:
    for name in _SPENT:
        if getattr(record, name) < 0:
            return f"{name} is {getattr(record, name)}"
    last = record.evaluations[-1] if record.evaluations else None
    for name in ("student_samples", "teacher_queries") if last else ():
        if getattr(record, name) < getattr(last, name):
            return f"{name} is {getattr(record, name):,}, the last evaluation says {getattr(last, name):,}"
    allowed = plan.budget.student_samples
    if allowed and record.student_samples > allowed and record.status != "over-budget":
        return f"{record.student_samples:,} student samples, the budget '{plan.budget.name}' allows {allowed:,}"
    return ""


def _spent(record: Result, plan: Plan) -> str:
    allowed = f" of {plan.budget.student_samples:,}" if plan.budget.student_samples else ""
    return f"{record.student_samples:,}{allowed} student samples"


def _wrong_origin(record: Result, plan: Plan) -> str:
    if record.status not in _STATUSES:
        return f"the status is {record.status!r}, expected {', '.join(_STATUSES)}"
    if not re.fullmatch(_ISOLATIONS, record.isolation):
        return f"the isolation is {record.isolation!r}, which no judge writes"
    if ("control" in record.isolation) != (plan.side == "judge"):
        return f"the isolation is {record.isolation!r}, and the plan's side is the {plan.side}'s"
    if record.isolation.endswith(HIGH_PORTS) and plan.processes == 1:
        return f"the isolation is {record.isolation!r}, and the plan has one process"
    try:
        finished = datetime.datetime.fromisoformat(record.finished_at)
        first = datetime.datetime(int(plan.protocol.partition(".")[0]), 1, 1, tzinfo=datetime.UTC)
    except ValueError:
        return f"finished_at is {record.finished_at!r} and the protocol {plan.protocol!r}, expected such as {PROTOCOL}"
    if finished.tzinfo is None:
        return f"finished_at is {record.finished_at!r}, expected a time with its zone"
    if finished > datetime.datetime.now(datetime.UTC) + _CLOCK_SKEW:
        return f"finished_at is {record.finished_at}, which lies in the future"
    if finished < first:
        return f"finished_at is {record.finished_at}, before protocol {plan.protocol}"
    return ""

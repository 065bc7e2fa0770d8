"""Level 1, beside accuracy: classes, the teachers' view of the student, and that of the synthetic images."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import NamedTuple

from dfkdbench.evaluate import Evaluation
from dfkdbench.figures.imagefigures import ImageFigures
from dfkdbench.figures.teachers import JudgesTeachers
from dfkdbench.handover import read_images
from dfkdbench.verification.checks import Findings
from dfkdbench.verification.stored import Stored

_SAME = 1e-6
_ELSEWHERE = 0.02
"""Relative differences of figures of images: sums that are rounded otherwise, and an image that is judged otherwise."""


class Allowance(NamedTuple):
    """How many images may be judged otherwise than recorded, and why; none on the same machine."""

    images: int
    reason: str


def check_figures(
    stored: Stored, found: Evaluation, teachers: JudgesTeachers, allowance: Allowance, findings: Findings
) -> None:
    """Makes these checks; what a record does not claim is not held against it.

    Args:
        found: The stored student, evaluated again.
        teachers: Those of the plan, with the plan's test set.
    """
    record = stored.record
    if not record.class_accuracies or record.evaluations[-1].agreement is None:
        findings.skip(1, "classes", "the record has no figures of classes and teachers: it is of an earlier version")
    else:
        _check_classes(stored, found, allowance, findings)
        agreement = teachers.agreement_with(found)
        problem = _wrong_agreement(stored, agreement, found.total, allowance)
        findings.add(1, "agreement", problem, f"{agreement:.2f} % with the teachers again ({allowance.reason})")
    if record.synthetic_images or any(_recorded_images(stored).values()):
        _check_images(stored, teachers, allowance, findings)


def _check_classes(stored: Stored, found: Evaluation, allowance: Allowance, findings: Findings) -> None:
    if allowance.images:
        findings.skip(1, "classes", f"not compared: {allowance.reason}")
        return
    record, problem = stored.record, ""
    for index, (recorded, again) in enumerate(zip(record.class_accuracies, found.class_accuracies, strict=False)):
        if not _close(recorded, again, _SAME):
            problem = problem or f"class {index}: recorded {recorded} %, found {again} %"
    if len(record.class_accuracies) != len(found.class_accuracies):
        problem = f"{len(record.class_accuracies)} classes in the record, {len(found.class_accuracies)} in the data set"
    worst = record.evaluations[-1].worst_class
    if worst != found.worst_class:
        problem = problem or f"worst class recorded {worst}, found {found.worst_class}"
    findings.add(1, "classes", problem, f"{len(found.class_accuracies)} classes, each as good as recorded")


def _wrong_agreement(stored: Stored, again: float, images: int, allowance: Allowance) -> str:
    recorded = stored.record.evaluations[-1].agreement or 0.0
    if abs(recorded - again) * images / 100 <= allowance.images + _SAME:
        return ""
    return f"agreement with the teachers recorded {recorded:.2f} %, found {again:.2f} % ({allowance.reason})"


def _check_images(stored: Stored, teachers: JudgesTeachers, allowance: Allowance, findings: Findings) -> None:
    folder, plan = stored.folder, stored.plan
    if plan.side == "judge":
        findings.add(1, "synthetic", "the record has figures of synthetic images, and this control makes none", "")
        return
    if not folder.synthetic.exists():
        findings.skip(1, "synthetic", f"the folder has no {folder.synthetic.name}: its figures were not computed again")
        return
    with findings.failing(1, "synthetic"):
        again = teachers.judge_images(read_images(folder.synthetic, plan.input))
        problem = _wrong_images(stored, again, _ELSEWHERE if allowance.images else _SAME)
        fine = f"{again.synthetic_images} images with the recorded hash and figures"
        findings.add(1, "synthetic", f"{problem} ({allowance.reason})" if problem else "", fine)


def _wrong_images(stored: Stored, again: ImageFigures, tolerance: float) -> str:
    recorded = _recorded_images(stored)
    for name, value in asdict(again).items():
        if not _close(recorded[name], value, tolerance):
            return f"{name} recorded {recorded[name]}, found {value}"
    return ""


def _recorded_images(stored: Stored) -> dict[str, object]:
    return {name: getattr(stored.record, name) for name in ImageFigures.__dataclass_fields__}


def _close(recorded: object, again: object, tolerance: float) -> bool:
    if isinstance(recorded, float) and isinstance(again, float):
        return math.isclose(recorded, again, rel_tol=tolerance, abs_tol=tolerance)
    return recorded == again

"""Whether a plan and a record belong together and their figures follow from each other. Needs no data and no plugin."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator
from statistics import fmean

from dfkdbench.agreement import repeated_in_record
from dfkdbench.boards.fields import shown
from dfkdbench.boards.reading import ReadPlan, ReadResult
from dfkdbench.compatibility import league_of

FINISHED = "finished"
_LATEST_YEAR = 2100
_IN_PROCESS = "in process"
_ON_REAL_DATA = "control on real data"


def problem_within(plan: ReadPlan, result: ReadResult) -> str:
    """The first thing that does not fit in an entry, or nothing."""
    checks: tuple[Callable[[ReadPlan, ReadResult], Iterator[str]], ...] = (
        _disagreements,
        _access,
        _origin,
        _end,
        _curve,
        _figures,
        _spending,
    )
    return next((problem for check in checks for problem in check(plan, result)), "")


def _disagreements(plan: ReadPlan, result: ReadResult) -> Iterator[str]:
    for name, planned in repeated_in_record(plan).items():
        recorded = getattr(result, name)
        if recorded != planned:
            yield f"{name} is {shown(str(recorded))} in result.json and {shown(str(planned))} in plan.json"
    if problem := plan.disagreement():
        yield f"plan.json contradicts itself: {problem}"


def _access(plan: ReadPlan, result: ReadResult) -> Iterator[str]:
    league = league_of(frozenset(plan.access))
    if plan.league != league:
        yield f"The league is {plan.league}; what the run saw ({', '.join(sorted(plan.access))}) makes it {league}"
    if plan.side == "judge" and "real_samples" not in plan.access:
        yield "A run beside the judge's data is a control on real samples, and this one says that it saw none"
    if result.readout is not None and "real_samples" not in plan.access:
        yield "Its readout was fitted on real samples, and its league does not say so"


def _origin(plan: ReadPlan, result: ReadResult) -> Iterator[str]:
    if _IN_PROCESS in result.isolation:
        yield "It ran in the judge's process, for debugging; boards take runs of the sealed worker"
    if (_ON_REAL_DATA in result.isolation) != (plan.side == "judge"):
        yield f"The isolation is {shown(result.isolation)}, and the run's side is the {plan.side}'s"
    try:
        finished = datetime.datetime.fromisoformat(result.finished_at)
    except ValueError:
        yield f"finished_at is {shown(result.finished_at)}, expected a date and time such as 2026-01-31T12:00:00+00:00"
        return
    if finished.tzinfo is None:
        yield f"finished_at is {shown(result.finished_at)}, expected a time with its zone"
    elif not int(plan.protocol[:4]) <= finished.year < _LATEST_YEAR:
        yield f"finished_at is {shown(result.finished_at)}, which is no date of protocol {plan.protocol}"


def _end(plan: ReadPlan, result: ReadResult) -> Iterator[str]:
    if result.status != FINISHED:
        if result.accuracy_final is not None or result.student_sha256 is not None:
            yield f"The run ended as {result.status}, and its record has a final accuracy or a student"
        return
    if result.accuracy_final is None or result.student_sha256 is None:
        yield "The run finished, and its record lacks the final accuracy or the hash of the student"
    elif result.student_sha256 in {teacher.sha256 for teacher in plan.teachers}:
        yield "The student is the teacher's file"
    elif len(result.evaluations) != len(plan.evaluate_at):
        yield f"{len(result.evaluations)} evaluations, the plan has {len(plan.evaluate_at)}"
    elif result.evaluations[-1].sha256 != result.student_sha256:
        yield "The last evaluation is of another student than the record's"


def _curve(plan: ReadPlan, result: ReadResult) -> Iterator[str]:
    if len(result.evaluations) > len(plan.evaluate_at):
        yield f"{len(result.evaluations)} evaluations, the plan has {len(plan.evaluate_at)}"
        return
    before = None
    for place, found in enumerate(result.evaluations):
        if found.index != place:
            yield f"evaluation {place} has the index {found.index}"
        if found.student_steps < plan.evaluate_at[place]:
            yield f"evaluation {place} is after {found.student_steps} steps, the plan says {plan.evaluate_at[place]}"
        for name in ("student_steps", "student_samples", "teacher_queries", "seconds"):
            if before and getattr(found, name) < getattr(before, name):
                yield f"{name} falls from evaluation {place - 1} to {place}"
        before = found


def _figures(plan: ReadPlan, result: ReadResult) -> Iterator[str]:
    curve = [found.accuracy for found in result.evaluations]
    final = result.accuracy_final
    if curve and final is not None and result.readout is None and final != curve[-1]:
        yield f"accuracy_final is {final}, the last evaluation says {curve[-1]}"
    for name, expected in _summary(curve, final).items():
        recorded = getattr(result, name)
        if (recorded is None) != (expected is None) or not _close(recorded, expected):
            yield f"{name} is {recorded}, the evaluations give {expected}"


def _summary(curve: list[float], final: float | None) -> dict[str, float | None]:
    """What a record says of its curve. Computed here and not by the code that wrote it."""
    if not curve:
        return dict.fromkeys(("accuracy_oracle", "accuracy_mean", "accuracy_variance", "accuracy_last5", "worst_drop"))
    highest, worst, mean = curve[0], 0.0, fmean(curve)
    for accuracy in curve:
        highest = max(highest, accuracy)
        worst = max(worst, highest - accuracy)
    return {
        "accuracy_oracle": max(highest, final or 0.0),
        "accuracy_mean": mean,
        "accuracy_variance": fmean((accuracy - mean) ** 2 for accuracy in curve),
        "accuracy_last5": fmean(curve[-5:]),
        "worst_drop": worst,
    }


def _close(one: float | None, other: float | None) -> bool:
    return one is None or other is None or math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6)


def _spending(plan: ReadPlan, result: ReadResult) -> Iterator[str]:
    allowed = plan.budget.student_samples
    if allowed and result.student_samples > allowed and result.status == FINISHED:
        yield f"{result.student_samples:,} student samples, the budget {plan.budget.name} allows {allowed:,}"
    last = result.evaluations[-1] if result.evaluations else None
    for name in ("student_samples", "teacher_queries"):
        if last and getattr(result, name) < getattr(last, name):
            yield f"{name} is {getattr(result, name):,}, the last evaluation says {getattr(last, name):,}"

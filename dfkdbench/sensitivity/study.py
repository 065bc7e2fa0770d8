"""A study as runs: which there are, which have a record, and how long the others will take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dfkdbench.errors import DfkdbenchError, PlanError
from dfkdbench.plan import Plan
from dfkdbench.records import Result, read_result
from dfkdbench.runfolder import RunFolder
from dfkdbench.sensitivity.figures import MethodStudy, Outcome, outcome_of
from dfkdbench.sensitivity.grid import Variation, choose_settings, studied_settings, variations

if TYPE_CHECKING:
    from dfkdbench.bench import Prepared

Point = tuple[str, float]
"""Setting and factor."""

PRESET: Point = ("", 1.0)


@dataclass
class PlannedStudy:
    """The runs of one method.

    Attributes:
        settings: Dotted key -> value of the preset.
        factors: Rising, with 1.
        points: What the runs of each point are made of; those of the preset are at `PRESET`.
        refused: Variations that the method's own checks refuse, with the reason.
    """

    settings: dict[str, float]
    factors: tuple[float, ...]
    points: dict[Point, Prepared]
    refused: dict[Variation, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The method's name."""
        return self.points[PRESET].method.item.name

    def jobs(self, seed: int) -> Iterator[Job]:
        """The runs of a seed, the preset's first."""
        for point, prepared in self.points.items():
            yield Job(self, point, seed, prepared.plan(seed))


@dataclass(frozen=True)
class Job:
    """One run of a study."""

    study: PlannedStudy
    point: Point
    seed: int
    plan: Plan

    @property
    def prepared(self) -> Prepared:
        """What the run is made of."""
        return self.study.points[self.point]

    def record(self) -> Result | None:
        """The record of the run, where there is one.

        Raises:
            IntegrityError: It can't be read.
        """
        found = RunFolder(self.prepared.request.out.resolve() / self.plan.run_id).result
        return read_result(found) if found.exists() else None


def plan_study(prepared: Prepared, factors: tuple[float, ...], only: Sequence[str] = ()) -> PlannedStudy:
    """Every run of a method: its preset, and every variation that its own checks let pass.

    Args:
        only: Patterns of keys to keep; all where there is none.

    Raises:
        ConfigError: The method has none of the settings of `only`.
        PlanError: Every variation is refused.
    """
    settings = choose_settings(studied_settings(prepared.resolved), only, prepared.method.item.name)
    study = PlannedStudy(settings, factors, {PRESET: prepared})
    for variation in variations(settings, factors):
        try:
            varied = prepared.with_settings((variation.text,))
            varied.plan(0)
        except DfkdbenchError as refusal:
            study.refused[variation] = refusal.message
        else:
            study.points[variation.setting, variation.factor] = varied
    if len(study.points) == 1:
        reasons = " ".join(dict.fromkeys(study.refused.values()))
        raise PlanError(f"'{study.method}' has no setting that could be varied here. {reasons}")
    return study


def measure(study: PlannedStudy, jobs: Iterable[Job]) -> MethodStudy:
    """What the records of a method's runs say."""
    base: dict[int, Outcome] = {}
    varied: dict[int, dict[Point, Outcome]] = {}
    for job in jobs:
        result = job.record()
        if result is None:
            continue
        outcome = outcome_of(result, job.plan.input.classes)
        if job.point == PRESET:
            base[job.seed] = outcome
        else:
            varied.setdefault(job.seed, {})[job.point] = outcome
    league = study.points[PRESET].plan(0).league
    return MethodStudy(study.method, league, study.settings, study.factors, base, varied, study.refused)


def seconds_left(left: Mapping[str, int], measured: Mapping[str, Sequence[float]]) -> float | None:
    """Training time of the runs that are left, by the mean of those that are done; None where none is.

    Args:
        left: Method -> runs without a record.
        measured: Method -> seconds of its runs with one. A method without any is taken for the mean of all.
    """
    everything = [value for values in measured.values() for value in values]
    if not everything:
        return None
    total = 0.0
    for method, count in left.items():
        known = measured.get(method) or everything
        total += count * sum(known) / len(known)
    return total

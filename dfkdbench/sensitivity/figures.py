"""What the runs of a study say: per seed, then over seeds.

A run fails where its record has no final accuracy (diverged, out of memory, over budget, ...) or where its student
collapsed. A run without accuracy counts as a student that guesses, in every figure: a method is not taken for robust
because its failures are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dfkdbench.records import Result
from dfkdbench.sensitivity.grid import Variation
from dfkdbench.statistics.intervals import Interval, mean_interval
from dfkdbench.statistics.paired import PairedDifference, paired_difference

COLLAPSED = 0.1
"""A student has collapsed where it ends within this share of the way from guessing to its teacher."""

FIGURES = ("base", "range", "deviation", "area", "loss", "failure_rate")
COMPARED = ("deviation", "loss", "failure_rate")
"""Figures that a comparison of two methods rests on; less is more robust."""

_IN_WORDS = {"win": "larger", "loss": "smaller", "tie": "not told apart", "undecided": "undecided"}


@dataclass(frozen=True)
class Outcome:
    """A run as the study counts it.

    Attributes:
        accuracy: Final accuracy in percent; that of guessing where there is none.
        failure: Why the run failed, or nothing.
        seconds: Of training.
    """

    accuracy: float
    failure: str
    run_id: str
    seconds: float


@dataclass(frozen=True)
class MethodStudy:
    """The runs of one method.

    Attributes:
        settings: Dotted key -> value of the preset.
        factors: Rising, with 1.
        base: Seed -> outcome of the preset itself.
        varied: Seed -> (setting, factor) -> outcome.
        refused: Variations that the method's own checks refuse, each with the reason; no seed has them.
    """

    method: str
    league: str
    settings: Mapping[str, float]
    factors: tuple[float, ...]
    base: Mapping[int, Outcome]
    varied: Mapping[int, Mapping[tuple[str, float], Outcome]]
    refused: Mapping[Variation, str] = field(default_factory=dict)

    @property
    def planned(self) -> list[tuple[str, float]]:
        """Every (setting, factor) but those refused and those of factor 1."""
        refused = {(variation.setting, variation.factor) for variation in self.refused}
        wanted = [(setting, factor) for setting in self.settings for factor in self.factors if factor != 1]
        return [point for point in wanted if point not in refused]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds with a record of every run; only these enter a figure."""
        return tuple(seed for seed in sorted(self.base) if self.varied.get(seed, {}).keys() >= set(self.planned))


@dataclass(frozen=True)
class Line:
    """One setting.

    Attributes:
        points: Factor -> mean accuracy over seeds, the preset at 1.
        range: Highest minus lowest of the points, the preset among them: mean over seeds, in points.
        area: See `area_under`; mean over seeds.
        failures: Runs that failed; of `runs`.
    """

    setting: str
    value: float
    points: dict[float, float]
    range: float
    area: float
    failures: int
    runs: int


def outcome_of(result: Result, classes: int) -> Outcome:
    """A record as the study counts it."""
    guessing = 100.0 / classes
    accuracy = result.accuracy_final
    if result.status != "finished" or accuracy is None or not math.isfinite(accuracy):
        why = result.status if result.status != "finished" else "no accuracy"
        return Outcome(guessing, why, result.run_id, result.train_seconds)
    collapsed = accuracy <= guessing + COLLAPSED * (result.teacher_accuracy - guessing)
    return Outcome(accuracy, "collapsed" if collapsed else "", result.run_id, result.train_seconds)


def area_under(points: Mapping[float, float]) -> float:
    """Area under accuracy over log factor, as a share of the largest there could be: 0..1.

    With x = log10(factor) from x_0 to x_n and accuracy a(x) in percent, linear between the points:
    1 / (x_n - x_0) * integral of a(x) / 100 dx, by trapezoids. 1 is a student that is always right, whatever the
    factor; a flat line of 95 % has 0.95.

    Raises:
        ValueError: Fewer than two factors.
    """
    if len(points) < 2:
        raise ValueError(f"An area takes at least two factors, given {len(points)}.")
    factors = np.array(sorted(points))
    accuracies = np.array([points[factor] for factor in factors])
    steps = np.diff(np.log10(factors))
    heights = (accuracies[1:] + accuracies[:-1]) / 2.0
    return float((heights * steps).sum() / steps.sum() / 100.0)


def figures_of(study: MethodStudy, seed: int) -> dict[str, float]:
    """The figures of one seed, all from the preset's run and every run one setting away from it.

    base: accuracy of the preset, in percent. range: highest minus lowest accuracy. deviation: standard deviation of
    the accuracies (n - 1); the preset, which all settings share, counts once in both. area: mean over settings of
    `area_under`, 0..1. loss: base minus 100 times area, in points: what a setting off the preset, by a factor drawn
    log-uniformly from the range, costs on average. failure_rate: share of the varied runs that failed, 0..1.
    """
    base, varied = study.base[seed], [study.varied[seed][point] for point in study.planned]
    accuracies = np.array([base.accuracy, *(outcome.accuracy for outcome in varied)])
    area = float(np.mean([area_under(_points(study, setting, seed)) for setting in _drawn(study)]))
    return {
        "base": base.accuracy,
        "range": float(np.ptp(accuracies)),
        "deviation": float(accuracies.std(ddof=1)),
        "area": area,
        "loss": base.accuracy - 100.0 * area,
        "failure_rate": sum(bool(outcome.failure) for outcome in varied) / len(varied),
    }


def summary(study: MethodStudy) -> dict[str, Interval]:
    """Every figure over the seeds that are whole: mean and t interval. Empty where no seed is."""
    by_seed = _by_seed(study)
    return {name: mean_interval(list(by_seed[name].values())) for name in FIGURES} if study.seeds else {}


def lines(study: MethodStudy) -> list[Line]:
    """Every setting over the seeds that are whole, in the order of the recipe."""
    found = []
    for setting in _drawn(study) if study.seeds else ():
        by_seed = [_points(study, setting, seed) for seed in study.seeds]
        runs = [study.varied[seed][point] for seed in study.seeds for point in study.planned if point[0] == setting]
        found.append(
            Line(
                setting=setting,
                value=study.settings[setting],
                points={factor: float(np.mean([points[factor] for points in by_seed])) for factor in by_seed[0]},
                range=float(np.mean([max(points.values()) - min(points.values()) for points in by_seed])),
                area=float(np.mean([area_under(points) for points in by_seed])),
                failures=sum(bool(outcome.failure) for outcome in runs),
                runs=len(runs),
            )
        )
    return found


def most_sensitive(found: list[Line]) -> Line:
    """The setting of the largest range; of equal ones that of the smallest area."""
    return max(found, key=lambda line: (line.range, -line.area))


def compare(ours: MethodStudy, theirs: MethodStudy) -> dict[str, PairedDifference]:
    """Ours minus theirs by seed, in every figure that a comparison rests on."""
    first, second = _by_seed(ours), _by_seed(theirs)
    return {name: paired_difference(first[name], second[name]) for name in COMPARED}


def verdict(ours: MethodStudy, theirs: MethodStudy) -> str:
    """Whether one of two methods is more robust, in a sentence.

    Only where its deviation and its loss are both smaller by a paired t interval that excludes 0, and its failure rate
    is no higher. Anything else is not shown.
    """
    differences = compare(ours, theirs)
    seeds = len(differences["loss"].seeds)
    if seeds < 2:
        return (
            f"Neither of {ours.method} and {theirs.method} is shown to be more robust: {seeds or 'no'} common seed"
            f"{'' if seeds else 's'}, and an interval takes two."
        )
    for first, second in ((ours, theirs), (theirs, ours)):
        if _more_robust(compare(first, second)):
            return (
                f"{first.method} is more robust than {second.method} here: over {seeds} seeds its deviation and its "
                "loss are smaller, by paired 95 % t intervals that exclude 0, and it fails no more often."
            )
    told = ", ".join(f"{name.replace('_', ' ')} {_IN_WORDS[found.outcome]}" for name, found in differences.items())
    return (
        f"Neither of {ours.method} and {theirs.method} is shown to be more robust over {seeds} seeds: of "
        f"{ours.method} against {theirs.method}, {told}."
    )


def _more_robust(differences: Mapping[str, PairedDifference]) -> bool:
    rates = differences["failure_rate"].interval
    smaller = all(differences[figure].outcome == "loss" for figure in ("deviation", "loss"))
    return smaller and rates is not None and rates.mean <= 0


def _by_seed(study: MethodStudy) -> dict[str, dict[int, float]]:
    found = {seed: figures_of(study, seed) for seed in study.seeds}
    return {name: {seed: figures[name] for seed, figures in found.items()} for name in FIGURES}


def _drawn(study: MethodStudy) -> list[str]:
    """Settings with a run beside the preset's."""
    return list(dict.fromkeys(setting for setting, _ in study.planned))


def _points(study: MethodStudy, setting: str, seed: int) -> dict[float, float]:
    """Factor -> accuracy of one setting and seed, rising; the preset is the point at 1."""
    points = {factor: outcome.accuracy for (name, factor), outcome in study.varied[seed].items() if name == setting}
    return dict(sorted({**points, 1.0: study.base[seed].accuracy}.items()))

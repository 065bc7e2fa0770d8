"""Figures of a study against numbers worked out by hand, failures among them, and verdicts that the data carry."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest

from dfkdbench.records import Result
from dfkdbench.sensitivity.figures import (
    MethodStudy,
    area_under,
    compare,
    figures_of,
    lines,
    most_sensitive,
    outcome_of,
    summary,
    verdict,
)
from dfkdbench.sensitivity.grid import Variation

MakeRecord = Callable[..., Result]
MakeStudy = Callable[..., MethodStudy]


@pytest.mark.parametrize(
    ("accuracy", "failure"), [(90.0, ""), (19.0, ""), (18.9, "collapsed"), (10.0, "collapsed"), (0.0, "collapsed")]
)
def test_outcome__a_tenth_of_the_way_from_guessing_to_the_teacher(
    accuracy: float, failure: str, make_record: MakeRecord
) -> None:
    found = outcome_of(make_record("toy", 0, accuracy), classes=10)
    assert (found.accuracy, found.failure, found.seconds) == (accuracy, failure, 12.5)


@pytest.mark.parametrize(
    ("accuracy", "changes", "failure"),
    [
        (None, {}, "diverged"),
        (None, {"status": "over-budget"}, "over-budget"),
        (95.0, {"status": "failed"}, "failed"),
        (math.nan, {}, "no accuracy"),
    ],
)
def test_outcome__without_accuracy_is_a_student_that_guesses(
    accuracy: float | None, changes: dict[str, str], failure: str, make_record: MakeRecord
) -> None:
    found = outcome_of(make_record("toy", 0, accuracy, **changes), classes=4)
    assert (found.accuracy, found.failure) == (25.0, failure)


def test_area__by_trapezoids_on_the_logarithm() -> None:
    assert area_under({0.1: 95.0, 1.0: 95.0, 10.0: 95.0}) == pytest.approx(0.95)
    assert area_under({0.1: 0.0, 1.0: 100.0, 10.0: 0.0}) == pytest.approx(0.5)
    assert area_under({1.0: 80.0, 100.0: 60.0, 10.0: 90.0}) == pytest.approx((0.85 + 0.75) / 2)
    # decades of unequal width: 1 to 10 counts once, 10 to 1000 twice
    assert area_under({1.0: 0.0, 10.0: 0.0, 1000.0: 90.0}) == pytest.approx(2 * 0.45 / 3)
    with pytest.raises(ValueError, match="at least two factors, given 1"):
        area_under({1.0: 90.0})


def test_figures__of_one_seed(make_study: MakeStudy) -> None:
    study = make_study("toy", {0: (90.0, 80.0, 60.0, 90.0, None)})
    found = figures_of(study, 0)
    assert found["base"] == 90.0
    assert found["range"] == 80.0
    assert found["deviation"] == pytest.approx(statistics.stdev([90.0, 80.0, 60.0, 90.0, 10.0]))
    area_of_a, area_of_b = (0.85 + 0.75) / 2, (0.90 + 0.50) / 2
    assert found["area"] == pytest.approx((area_of_a + area_of_b) / 2)
    assert found["loss"] == pytest.approx(90.0 - 100 * found["area"])
    assert found["failure_rate"] == 0.25


def test_figures__a_failure_never_looks_robust(make_study: MakeStudy) -> None:
    failing = figures_of(make_study("toy", {0: (90.0, 88.0, None, 88.0, None)}), 0)
    steady = figures_of(make_study("toy", {0: (90.0, 88.0, 80.0, 88.0, 80.0)}), 0)
    for name in ("range", "deviation", "loss", "failure_rate"):
        assert failing[name] > steady[name]
    assert failing["area"] < steady["area"]


def test_summary__over_whole_seeds_alone(make_study: MakeStudy) -> None:
    seeds = {0: (90.0, 80.0, 80.0, 80.0, 80.0), 1: (92.0, 80.0, 80.0, 80.0, 80.0), 2: (10.0, 10.0)}
    study = make_study("toy", seeds)
    assert study.seeds == (0, 1)
    found = summary(study)
    assert (found["base"].mean, found["base"].count) == (91.0, 2)
    assert found["base"].half_width == pytest.approx(12.706205 * statistics.stdev([90.0, 92.0]) / 2**0.5)
    assert found["range"].mean == 11.0
    unfinished = make_study("toy", {0: (90.0, 80.0)})
    assert (summary(unfinished), lines(unfinished)) == ({}, [])


def test_refused__points_are_not_waited_for(make_study: MakeStudy) -> None:
    study = make_study("toy", {0: (90.0, 80.0, 60.0, 70.0)})
    assert study.seeds == ()
    study = replace(study, refused={Variation("b", 10.0, 0.05): "too large"})
    assert study.seeds == (0,)
    assert lines(study)[1].points == {0.1: 70.0, 1.0: 90.0}
    assert figures_of(study, 0)["area"] == pytest.approx(((0.85 + 0.75) / 2 + 0.80) / 2)


def test_lines__means_over_seeds_and_the_most_sensitive(make_study: MakeStudy) -> None:
    study = make_study("toy", {0: (90.0, 80.0, 60.0, 90.0, None), 1: (94.0, 90.0, 94.0, 94.0, 94.0)})
    first, second = lines(study)
    assert (first.setting, first.value, second.setting, second.value) == ("a", 1.0, "b", 0.005)
    assert first.points == {0.1: 85.0, 1.0: 92.0, 10.0: 77.0}
    assert (first.range, first.failures, first.runs) == ((30.0 + 4.0) / 2, 0, 4)
    assert (second.range, second.failures) == (40.0, 1)
    assert most_sensitive([first, second]) == second


STEADY = {seed: (90.0 + seed, 89.0, 88.0, 89.0, 88.0 + seed) for seed in range(3)}
SHAKY = {seed: (95.0 + seed, 60.0, 50.0, 40.0, 30.0 + seed) for seed in range(3)}


def test_compare__is_ours_minus_theirs_by_seed(make_study: MakeStudy) -> None:
    steady, shaky = make_study("steady", STEADY), make_study("shaky", SHAKY)
    found = compare(steady, shaky)["loss"]
    expected = [figures_of(steady, seed)["loss"] - figures_of(shaky, seed)["loss"] for seed in range(3)]
    assert found.interval is not None
    assert found.interval.mean == pytest.approx(statistics.mean(expected))
    assert found.outcome == "loss"


@pytest.mark.parametrize("swapped", [False, True])
def test_verdict__names_the_more_robust_one_whichever_comes_first(swapped: bool, make_study: MakeStudy) -> None:
    pair = [make_study("steady", STEADY), make_study("shaky", SHAKY)]
    told = verdict(*(reversed(pair) if swapped else pair))
    assert told.startswith("steady is more robust than shaky here: over 3 seeds")


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        # the same on the mean, in other seeds
        ({seed: STEADY[2 - seed] for seed in range(3)}, "deviation not told apart, loss not told apart"),
        # hardly anything lost at all
        (dict.fromkeys(range(3), (91.0, 90.9, 90.9, 90.9, 90.9)), "is more robust than steady"),
        ({0: SHAKY[0]}, "1 common seed, and an interval takes two"),
        ({7: SHAKY[0]}, "no common seeds, and an interval takes two"),
    ],
)
def test_verdict__says_no_more_than_the_data(
    theirs: dict[int, tuple[float, ...]], said: str, make_study: MakeStudy
) -> None:
    assert said in verdict(make_study("steady", STEADY), make_study("other", theirs))


def test_verdict__who_fails_more_often_is_not_more_robust(make_study: MakeStudy) -> None:
    smooth = make_study("smooth", {seed: (60.0 + seed, 59.0, 59.0, 59.0, 58.0) for seed in range(3)})
    outcomes = {point: replace(found, failure="collapsed") for point, found in smooth.varied[0].items()}
    failing = replace(smooth, varied={**smooth.varied, 0: outcomes})
    assert verdict(smooth, make_study("shaky", SHAKY)).startswith("smooth is more robust than shaky")
    told = verdict(failing, make_study("shaky", SHAKY))
    assert "is shown to be more robust over 3 seeds" in told
    assert "deviation smaller, loss smaller, failure rate not told apart" in told

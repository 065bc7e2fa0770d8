"""Records: the environment of a start, and files that are whole records or nothing."""

from __future__ import annotations

import importlib.metadata

import pytest

from dfkdbench import __version__
from dfkdbench.config import resolve
from dfkdbench.descriptors import Method
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.recipe import Recipe
from dfkdbench.records import HeadFigures, ReadoutFigures, environment, summarise
from dfkdbench.registry import Owned, Registry

EVALUATION = {
    "student_steps": 1,
    "student_samples": 8,
    "teacher_queries": 8,
    "seconds": 0.5,
    "calibration_error": 3.0,
    "worst_class_accuracy": 40.0,
    "sha256": "a" * 64,
}


@pytest.fixture
def plan(registry: Registry) -> Plan:
    digits, models = registry.datasets.get("digits"), registry.models
    cell = Cell(digits, models.get("lenet_s"), models.get("lenet_xs"), "smoke", digits.item.budgets["smoke"])
    method = Owned(Method(name="toy", summary="Toy.", recipe=Recipe()), "not-installed-anywhere", "1", "toy")
    resolved = resolve(registry, method.item, ("digits", cell.pair, "smoke"))
    return make_plan(method, resolved, cell, {"t": "b" * 64}, 0, "cpu", "f" * 64)


def test_environment__names_versions_even_of_code_that_is_not_installed(plan: Plan) -> None:
    packages = environment(plan)["packages"]
    assert packages["dfkdbench"] == __version__
    assert packages["torch"] == importlib.metadata.version("torch")
    assert packages["not-installed-anywhere"] == "unknown"


def test_summarise__figures_of_the_curve(plan: Plan) -> None:
    curve = [50.0, 80.0, 60.0, 90.0, 85.0, 70.0]
    evaluations = [{**EVALUATION, "index": index, "accuracy": accuracy} for index, accuracy in enumerate(curve)]
    result = summarise(plan, "finished", "", evaluations, {"student_samples": 48, "seconds": 3}, "none", 99.0)
    assert (result.accuracy_final, result.accuracy_oracle) == (70.0, 90.0)
    assert result.accuracy_mean == pytest.approx(72.5)
    assert result.accuracy_variance == pytest.approx(sum((value - 72.5) ** 2 for value in curve) / 6)
    assert result.accuracy_last5 == pytest.approx(77.0)
    assert result.worst_drop == 20.0
    assert (result.student_samples, result.train_seconds, result.status) == (48, 3.0, "finished")


def test_summarise__failed_run_keeps_what_it_had_and_has_no_final(plan: Plan) -> None:
    evaluations = [{**EVALUATION, "index": 0, "accuracy": 40.0}]
    result = summarise(plan, "diverged", "the loss is NaN", evaluations, {}, "none", 99.0)
    assert (result.accuracy_final, result.student_sha256, result.accuracy_oracle) == (None, None, 40.0)
    empty = summarise(plan, "out-of-memory", "too large", [], {}, "none", 99.0)
    assert (empty.accuracy_final, empty.accuracy_mean, empty.worst_drop) == (None, None, None)


def test_summarise__several_heads(plan: Plan) -> None:
    evaluations = [{**EVALUATION, "index": 0, "accuracy": 60.0}]
    result = summarise(plan, "finished", "", evaluations, {}, "none", 99.0, HeadFigures((50.0, 40.0, 60.0), 60.0))
    assert (result.accuracy_final, result.accuracy_ensemble, result.accuracy_mean_head) == (60.0, 60.0, 50.0)
    assert result.head_accuracies == (50.0, 40.0, 60.0)
    assert (result.readout, result.readout_samples, result.readout_sha256) == (None, 0, None)


@pytest.mark.parametrize("accuracy", [55.0, 65.0])
def test_summarise__a_readout_is_final_and_what_needs_no_real_sample_is_kept(plan: Plan, accuracy: float) -> None:
    evaluations = [{**EVALUATION, "index": 0, "accuracy": 60.0}]
    heads = HeadFigures((50.0, 40.0), 60.0, ReadoutFigures("attention", accuracy, 13, "c" * 64))
    result = summarise(plan, "finished", "", evaluations, {}, "none", 99.0, heads)
    assert (result.accuracy_final, result.accuracy_ensemble, result.accuracy_mean) == (accuracy, 60.0, 60.0)
    assert result.accuracy_oracle == max(accuracy, 60.0)
    assert (result.readout, result.readout_samples, result.readout_sha256) == ("attention", 13, "c" * 64)


def test_summarise__one_head_says_nothing_of_heads(plan: Plan) -> None:
    result = summarise(plan, "finished", "", [{**EVALUATION, "index": 0, "accuracy": 60.0}], {}, "none", 99.0)
    assert (result.head_accuracies, result.accuracy_mean_head, result.accuracy_ensemble) == ((), None, None)

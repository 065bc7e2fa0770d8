"""Records: the environment of a start, and files that are whole records or nothing."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from dfkdbench import __version__
from dfkdbench.config import resolve
from dfkdbench.descriptors import Method
from dfkdbench.environment import environment
from dfkdbench.figures.imagefigures import ImageFigures
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.recipe import Recipe
from dfkdbench.records import (
    FINAL_FIGURES,
    Evaluation,
    HeadFigures,
    ReadoutFigures,
    Result,
    read_result,
    results_frame,
    summarise,
)
from dfkdbench.registry import Owned, Registry
from dfkdbench.reports import EVALUATION_BYTES

ROOT = Path(__file__).resolve().parent.parent

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


def test_summarise__figures_of_classes_and_images(plan: Plan) -> None:
    evaluations = [{**EVALUATION, "index": 0, "accuracy": 60.0, "agreement": 61.0, "worst_class": 1}]
    images = ImageFigures(512, "d" * 64, 0.9, 1.1, 30.0)
    result = summarise(plan, "finished", "", evaluations, {}, "none", 99.0, None, (80.0, 40.0, None), images)
    assert result.class_accuracies == (80.0, 40.0, None)
    assert {name: getattr(result, name) for name in asdict(images)} == asdict(images)
    assert (result.evaluations[0].agreement, result.evaluations[0].worst_class) == (61.0, 1)
    assert Result.model_validate_json(result.model_dump_json()) == result
    without = summarise(plan, "finished", "", evaluations, {}, "none", 99.0)
    assert (without.synthetic_images, without.synthetic_sha256, without.synthetic_frechet) == (0, None, None)


def test_results_frame__has_the_figures_of_the_last_evaluation_of_finished_runs(plan: Plan) -> None:
    old = {**EVALUATION, "index": 0, "accuracy": 60.0}
    new = {**old, "index": 1, "calibration_error": 2.0, "agreement": 61.0, "worst_class": 1}
    ended = summarise(plan, "finished", "", [old, new], {}, "none", 99.0)
    before = summarise(plan, "finished", "", [old], {}, "none", 99.0)
    failed = summarise(plan, "diverged", "the loss is NaN", [new], {}, "none", 99.0)
    frame = results_frame([ended, before, failed])
    found = frame[list(FINAL_FIGURES)].astype(object).where(frame[list(FINAL_FIGURES)].notna(), None)
    assert found.to_numpy().tolist() == [[61.0, 2.0, 40.0, 1], [None, 3.0, 40.0, None], [None] * 4]


def test_read_result__reads_records_of_before_there_were_all_figures() -> None:
    paths = sorted(ROOT.glob("leaderboards/*/entries/*/result.json"))
    old = [path for path in paths if "synthetic_images" not in json.loads(path.read_text(encoding="utf-8"))]
    assert old
    for path in old:
        result = read_result(path)
        assert (result.synthetic_images, result.class_accuracies, result.evaluations[-1].agreement) == (0, (), None)
        assert Result.model_validate_json(result.model_dump_json()) == result


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


def test_evaluation__the_longest_fits_into_the_bytes_that_every_line_takes() -> None:
    """A worker can ask how large the file is that they are kept in."""
    longest = {"float": -sys.float_info.max, "int": -(1 << 53), "str": "f" * 64}
    kinds = {name: str(field.annotation) for name, field in Evaluation.model_fields.items()}
    line = {name: next(longest[kind] for kind in longest if kind in kinds[name]) for name in kinds}
    assert len(json.dumps(line)) < EVALUATION_BYTES

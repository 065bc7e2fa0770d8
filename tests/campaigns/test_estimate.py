"""Estimates: by step times that were measured, and nothing where nothing was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dfkdbench.bench import Request, prepare
from dfkdbench.campaigns.estimate import Measurements, students_bytes
from dfkdbench.cli.console import Console
from dfkdbench.plan import Plan
from dfkdbench.records import Result
from dfkdbench.registry import Registry

MakeRecord = Callable[..., Result]


def planned(registry: Registry, plugin: str = "noise", **more: str) -> Plan:
    request = Request(plugin=plugin, dataset="digits", device="cpu", **{"budget": "quick", **more})
    return prepare(request, Console(), registry).plan(0)


def put(folder: Path, plan: Plan, result: Result) -> None:
    entry = folder / plan.run_id
    entry.mkdir(parents=True)
    (entry / "plan.json").write_text(plan.model_dump_json(), encoding="utf-8")
    (entry / "result.json").write_text(result.model_dump_json(), encoding="utf-8")


def test_seconds__are_the_measured_ones_of_the_same_cell(
    tmp_path: Path, registry: Registry, make_record: MakeRecord
) -> None:
    plan = planned(registry)
    put(tmp_path, plan, make_record("noise", 0, 80.0, train_seconds=12.5))
    estimate = Measurements([tmp_path, tmp_path / "none"]).estimate(plan)
    assert estimate is not None
    assert estimate.seconds == pytest.approx(12.5)
    assert estimate.source == "the same cell and parts"


def test_seconds__of_runs_together_are_shared_out(tmp_path: Path, registry: Registry, make_record: MakeRecord) -> None:
    plan = planned(registry)
    capture = {"state": "graph", "why": "", "together": 5}
    put(tmp_path, plan, make_record("noise", 0, 80.0, train_seconds=12.5, capture=capture))
    estimate = Measurements([tmp_path]).estimate(plan)
    assert estimate is not None
    assert estimate.seconds == pytest.approx(2.5)


def test_other_tier__is_scaled_by_its_steps(tmp_path: Path, registry: Registry, make_record: MakeRecord) -> None:
    put(tmp_path, planned(registry), make_record("noise", 0, 80.0, train_seconds=12.5))
    estimate = Measurements([tmp_path]).estimate(planned(registry, budget="standard"))
    assert estimate is not None
    assert estimate.seconds == pytest.approx(5 * 12.5)
    assert "other tier" in estimate.source


def test_nothing_like_it__is_unknown(tmp_path: Path, registry: Registry, make_record: MakeRecord) -> None:
    put(tmp_path, planned(registry), make_record("noise", 0, None))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{", encoding="utf-8")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "result.json").write_text('{"status": "finished"}', encoding="utf-8")
    (tmp_path / "odd" / "plan.json").write_text(json.dumps({"plugin": "noise"}), encoding="utf-8")
    measured = Measurements([tmp_path])
    assert measured.records == 0
    assert measured.estimate(planned(registry)) is None


def test_disk__is_a_student_for_each_evaluation_and_the_last(registry: Registry) -> None:
    plan = planned(registry)
    assert students_bytes(plan) % (len(plan.evaluate_at) + 1) == 0
    assert 11 * 4 * 1000 < students_bytes(plan) < 11 * 4 * 100_000

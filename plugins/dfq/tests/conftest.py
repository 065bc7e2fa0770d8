"""Fixtures for tests of DFQ."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import dfkdbench
from dfkdbench.assembly import Assembly
from dfkdbench.config import parse_setting, resolve
from dfkdbench.places import assets_folder
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.records import Result
from dfkdbench.registry import Registry

METHOD = "dfq"


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The built-in parts and this plugin, installed or not."""
    return Registry([importlib.metadata.EntryPoint(METHOD, f"dfkdbench_{METHOD}", "dfkdbench")])


def weights_of(teacher: str) -> Path:
    return assets_folder() / "teachers" / f"digits-{teacher}-s0" / "weights.safetensors"


@pytest.fixture
def plan(registry: Registry) -> Callable[..., Plan]:
    """Plans a run of this method."""

    def make(*settings: str, pair: str = "resnet_s:resnet_xs", dataset: str = "digits", budget: str = "smoke") -> Plan:
        spec = registry.datasets.get(dataset)
        teacher, student = (registry.models.get(name) for name in pair.split(":"))
        cell = Cell(spec, teacher, student, budget, spec.item.budgets[budget])
        method = registry.methods.get(METHOD)
        overrides = [parse_setting(text) for text in settings]
        resolved = resolve(registry, method.item, (dataset, pair, budget), overrides)
        weights = weights_of(teacher.item.name)
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.exists() else "0" * 64
        return make_plan(method, resolved, cell, {"teacher": sha256}, 0, "cpu", "0" * 64)

    return make


@pytest.fixture
def assemble(plan: Callable[..., Plan]) -> Callable[..., Assembly]:
    """Builds all parts of a run on digits with the pinned teacher."""

    def make(*settings: str, **cell: Any) -> Assembly:
        planned = plan(*settings, **cell)
        return Assembly(planned, [weights_of(planned.teachers[0].model.name)], torch.device("cpu"))

    return make


@pytest.fixture
def run(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a method on digits in this process, at the smallest budget."""

    def start(plugin: str = METHOD, **request: Any) -> Result:
        monkeypatch.setattr("dfkdbench.bench.load_registry", lambda: registry)
        threads = torch.get_num_threads()
        try:
            (result,) = dfkdbench.run(
                plugin, "digits", budget="smoke", out=tmp_path, isolation="in-process", threads=1, **request
            )
        finally:
            torch.set_num_threads(threads)
        return result

    return start

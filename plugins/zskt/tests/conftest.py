"""Fixtures for tests of ZSKT."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dfkdbench.assembly import Assembly
from dfkdbench.conformance.methodruns import MethodRuns, registry_with
from dfkdbench.plan import Plan
from dfkdbench.records import Result
from dfkdbench.registry import Registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The built-in parts and this plugin, installed or not."""
    return registry_with("zskt", "dfkdbench_zskt")


@pytest.fixture
def runs(registry: Registry) -> MethodRuns:
    return MethodRuns(registry, "zskt")


@pytest.fixture
def plan(runs: MethodRuns) -> Callable[..., Plan]:
    """Plans a run of this method."""
    return runs.plan


@pytest.fixture
def assemble(runs: MethodRuns) -> Callable[..., Assembly]:
    """Builds all parts of a run on digits with the pinned teacher."""
    return runs.assemble


@pytest.fixture
def run(runs: MethodRuns, tmp_path: Path) -> Callable[..., Result]:
    """Runs a method on digits in this process, at the smallest budget."""
    return partial(runs.run, tmp_path)

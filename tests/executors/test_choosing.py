"""Executors by name: what is listed, described, refused, and brought by plugins."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dfkdbench.cli import main
from dfkdbench.errors import ConfigError, PlanError, UnknownNameError
from dfkdbench.executors.choosing import check_options, make_executor
from dfkdbench.executors.jobs import Resources
from dfkdbench.executors.local import LocalExecutor
from dfkdbench.registry import Registry

PLUGIN = """
    from dfkdbench import ExecutorSpec, hookimpl

    API = 1

    @hookimpl
    def dfkdbench_executors():
        return [ExecutorSpec(name="toy", target="x:y", options="x:z", summary="A toy.")]
"""


def test_local__is_made_with_its_options(registry: Registry, tmp_path: Path) -> None:
    spec = registry.executors.get("local").item
    executor = make_executor(spec, {"workers": 3}, Resources(), tmp_path)
    assert isinstance(executor, LocalExecutor)
    assert executor.room() == executor.capacity == 3


def test_options__are_checked_strictly(registry: Registry) -> None:
    spec = registry.executors.get("local").item
    with pytest.raises(ConfigError, match=r"Unknown key 'executor.worker'. Did you mean 'workers'"):
        check_options(spec, {"worker": 3})
    with pytest.raises(ConfigError, match=r"executor.workers: given \"two\""):
        check_options(spec, {"workers": "two"})


def test_what_is_not_installed__is_named_with_the_command(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PlanError, match=r'needs ray.*pip install "dfkdbench\[ray\]"'):
        make_executor(registry.executors.get("ray").item, {}, Resources(), tmp_path)


def test_unknown__names_the_nearest(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'slurm'"):
        registry.executors.get("slrum")


def test_executors__are_listed_and_described() -> None:
    listed = json.loads(CliRunner().invoke(main, ["list", "executors", "--json"]).stdout)
    assert [row["name"] for row in listed][:3] == ["local", "ray", "slurm"]
    (entry,) = json.loads(CliRunner().invoke(main, ["describe", "slurm", "--json"]).stdout)
    assert {"partition", "account", "minutes", "array"} <= {option["key"] for option in entry["options"]}


def test_plugin__brings_its_own(
    make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry]
) -> None:
    make_distribution("toy-place", PLUGIN)
    assert registry_of_site().executors.get("toy").distribution == "toy-place"

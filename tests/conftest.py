"""Fixtures for all tests."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from dfkdbench.hookspecs import ENTRY_POINT_GROUP
from dfkdbench.records import Result
from dfkdbench.registry import Registry
from dfkdbench.shortcuts import SHORTCUTS, use_shortcuts

MakeDistribution = Callable[..., str]
RegistryOf = Callable[[], Registry]
MakeRecord = Callable[..., Result]
StoreRecord = Callable[..., None]


@pytest.fixture
def registry() -> Registry:
    """The registry of the built-in parts alone, whatever else is installed."""
    return Registry(())


@pytest.fixture
def double() -> Iterator[None]:
    """New tensors are of float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def shortcuts() -> Iterator[None]:
    """The test chooses shortcuts; afterwards all are in force again."""
    yield
    use_shortcuts(SHORTCUTS)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 kB, where this user may mount one. More room: `mount -o remount,size=50m`."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user can't mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty site-packages folder on the import path; what tests import from it is forgotten afterwards."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def make_distribution(site: Path) -> MakeDistribution:
    """Writes a package with an entry point, as pip leaves it behind; gives the name of its module."""

    def make(name: str, body: str, version: str = "1.0", entry: str = "") -> str:
        module = name.replace("-", "_")
        package, info = site / module, site / f"{module}-{version}.dist-info"
        for folder in (package, info):
            folder.mkdir()
        (package / "__init__.py").write_text(textwrap.dedent(body), encoding="utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        entry = entry or f"{name} = {module}"
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{entry}\n", encoding="utf-8")
        return module

    return make


@pytest.fixture
def registry_of_site(site: Path) -> RegistryOf:
    """Makes the registry of the built-in parts and the distributions written so far."""

    def make() -> Registry:
        distributions = importlib.metadata.distributions(path=[str(site)])
        entries = [entry for found in distributions for entry in found.entry_points.select(group=ENTRY_POINT_GROUP)]
        return Registry(entries)

    return make


@pytest.fixture
def make_record() -> MakeRecord:
    """Makes the record of a run by hand; an accuracy of None is a run that diverged."""

    def make(plugin: str, seed: int, accuracy: float | None, **changes: Any) -> Result:
        values: dict[str, Any] = {
            "run_id": f"{plugin}-digits-s{seed}-{changes.pop('variant', 'x')}",
            "protocol": "2026.1",
            "plugin": plugin,
            "distribution": "toy-lab",
            "dataset": "digits",
            "pair": "lenet_s:lenet_xs",
            "budget": "quick",
            "seed": seed,
            "league": "soft-labels",
            "status": "finished" if accuracy is not None else "diverged",
            "error": "" if accuracy is not None else "the loss is NaN",
            "accuracy_final": accuracy,
            "accuracy_oracle": accuracy,
            "accuracy_mean": accuracy,
            "accuracy_variance": 0.125 if accuracy is not None else None,
            "accuracy_last5": accuracy,
            "worst_drop": 0.0 if accuracy is not None else None,
            "teacher_accuracy": 99.0,
            "student_sha256": "a" * 64 if accuracy is not None else None,
            "teacher_sha256": "b" * 64,
            "student_samples": 100,
            "teacher_queries": 200,
            "train_seconds": 12.5,
            "peak_memory_mb": 300.0,
            "replay_bytes": 0,
            "isolation": "landlock abi 7",
            "device": "cpu",
            "hardware": "toy",
            "finished_at": "2026-01-01T00:00:00+00:00",
            "evaluations": (),
        }
        return Result.model_validate(values | changes)

    return make


@pytest.fixture
def store_record() -> StoreRecord:
    """Writes a record into a runs folder, with a plan that says nothing but seed, plugin and batch size."""

    def store(runs: Path, result: Result, plan: dict[str, Any] | None = None) -> None:
        folder = runs / result.run_id
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(result.model_dump_json(), encoding="utf-8")
        plan = {"seed": result.seed, "plugin": result.plugin, "recipe": {"batch_size": 128}} if plan is None else plan
        (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")

    return store

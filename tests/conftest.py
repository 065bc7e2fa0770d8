"""Fixtures for all tests."""

from __future__ import annotations

import importlib.metadata
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfkdbench.hookspecs import ENTRY_POINT_GROUP
from dfkdbench.registry import Registry

MakeDistribution = Callable[..., str]
RegistryOf = Callable[[], Registry]


@pytest.fixture
def registry() -> Registry:
    """The registry of the built-in parts alone, whatever else is installed."""
    return Registry(())


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

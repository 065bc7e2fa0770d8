"""The broken plugins, registered beside the built-in parts."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfkdbench.hookspecs import ENTRY_POINT_GROUP
from dfkdbench.registry import Registry

BROKEN = Path(__file__).parent / "broken"


@pytest.fixture(scope="session")
def broken_registry() -> Iterator[Registry]:
    """The built-in parts and every broken plugin; their folder is on the path of workers too."""
    sys.path.insert(0, str(BROKEN))
    entries = [
        importlib.metadata.EntryPoint(name, name, ENTRY_POINT_GROUP) for name in ("broken_descriptions", "broken_light")
    ]
    registry = Registry(entries)
    assert [plugin.status for plugin in registry.plugins] == ["ok"] * 3
    yield registry
    sys.path.remove(str(BROKEN))

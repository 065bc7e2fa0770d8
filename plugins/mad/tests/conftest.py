"""Fixtures for tests of MAD."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dfkdbench.conformance.settings import toy_setting
from dfkdbench.seams import Setting

DISTRIBUTION, MODULE = "dfkdbench-mad", "dfkdbench_mad"


@pytest.fixture
def make_setting() -> Callable[..., Setting]:
    """A setting of one small run; random streams depend on seed and role alone."""
    return partial(toy_setting, replay_size=4)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin as pip leaves it behind, where it is not installed already."""
    if any(True for _ in importlib.metadata.distributions(name=DISTRIBUTION)):
        return
    info = tmp_path / "site" / f"{MODULE}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: 0.1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[dfkdbench]\n{MODULE} = {MODULE}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(info.parent)

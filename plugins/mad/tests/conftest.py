"""Fixtures for tests of MAD."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dfkdbench.seams import Setting

DISTRIBUTION, MODULE = "dfkdbench-mad", "dfkdbench_mad"


@pytest.fixture
def make_setting() -> Callable[..., Setting]:
    """A setting of one small run; random streams depend on seed and role alone."""

    def make(seed: int = 0, **changes: Any) -> Setting:
        def rng(role: str) -> torch.Generator:
            digest = hashlib.sha256(f"{seed}/{role}".encode()).digest()
            return torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))

        values: dict[str, Any] = {
            "classes": 10,
            "image_shape": (1, 8, 8),
            "device": torch.device("cpu"),
            "batch_size": 16,
            "replay_size": 4,
            "generator_steps": 10,
            "student_steps": 100,
            "teacher_count": 1,
            "teacher_shapes": {},
            "rng": rng,
        }
        return Setting(**(values | changes))

    return make


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

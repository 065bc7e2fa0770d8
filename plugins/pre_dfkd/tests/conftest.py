"""Fixtures for tests of PRE-DFKD."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.conformance.settings import toy_setting
from dfkdbench.seams import Setting, Signal

DISTRIBUTION, MODULE = "dfkdbench-pre-dfkd", "dfkdbench_pre_dfkd"


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


class Teacher(nn.Module):
    """A fixed random network that counts what it is asked."""

    def __init__(self, shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))
        self.layers[1].weight.data.mul_(4)
        self.eval().requires_grad_(False)
        self.batches: list[int] = []

    def target_of(self, images: Tensor) -> Signal:
        """The logits of images."""
        self.batches.append(len(images))
        return Signal(self.layers(images))


@pytest.fixture
def teacher() -> Teacher:
    """A teacher of 8x8 images."""
    return Teacher()

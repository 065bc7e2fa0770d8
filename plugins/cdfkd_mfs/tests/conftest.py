"""Fixtures for tests of CDFKD-MFS."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.hookspecs import ENTRY_POINT_GROUP
from dfkdbench.registry import Registry
from dfkdbench.seams import Setting, Signal, View


@pytest.fixture
def setting() -> Setting:
    """A setting of one small run."""
    return Setting(
        classes=10,
        image_shape=(1, 16, 16),
        device=torch.device("cpu"),
        batch_size=8,
        replay_size=0,
        generator_steps=10,
        student_steps=10,
        teacher_count=3,
        teacher_shapes={},
        rng=lambda role: torch.Generator().manual_seed(len(role)),
    )


@pytest.fixture
def registry() -> Registry:
    """The built-in parts and this plugin."""
    return Registry([EntryPoint("cdfkd_mfs", "dfkdbench_cdfkd_mfs", ENTRY_POINT_GROUP)])


@pytest.fixture
def random_view() -> Callable[..., View]:
    """A view of random signals in float64: heads and teachers with their features, means as the loop gives them."""

    def make(heads: int = 3, teachers: int = 3, width: int = 5, student_width: int | None = None, **more: Any) -> View:
        rng = torch.Generator().manual_seed(1)

        def draw(*shape: int) -> Tensor:
            return 3 * torch.randn(*shape, generator=rng, dtype=torch.float64)

        signals = tuple(Signal(draw(8, 10), draw(8, width)) for _ in range(teachers))
        logits = [draw(8, 10) for _ in range(heads)]
        student = Signal(torch.stack(logits).mean(0), draw(8, heads * (student_width or width)), heads=tuple(logits))
        target = Signal(torch.stack([signal.logits for signal in signals]).mean(0))
        return View(draw(8, 1, 4, 4), target, signals, student)._replace(**more)

    return make

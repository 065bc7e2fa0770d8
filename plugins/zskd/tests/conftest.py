"""Fixtures for tests of ZSKD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from dfkdbench.seams import Setting


@pytest.fixture
def make_setting() -> Callable[..., Setting]:
    """A setting of one small run."""

    def make(**changes: Any) -> Setting:
        values: dict[str, Any] = {
            "classes": 10,
            "image_shape": (1, 16, 16),
            "device": torch.device("cpu"),
            "batch_size": 32,
            "replay_size": 0,
            "generator_steps": 60,
            "student_steps": 60,
            "teacher_count": 1,
            "teacher_shapes": {},
            "rng": lambda role: torch.Generator().manual_seed(len(role)),
        }
        return Setting(**(values | changes))

    return make

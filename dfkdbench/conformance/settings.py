"""Toy settings, for tests of parts that need no whole run."""

from __future__ import annotations

from typing import Any

import torch

from dfkdbench.rng import RandomStreams
from dfkdbench.seams import Setting


def toy_setting(seed: int = 0, **changes: Any) -> Setting:
    """The setting of a small run on the CPU: ten classes, grey 8 x 8 images, one teacher.

    Args:
        seed: What the random streams depend on, beside the name of their role.
        changes: Fields of the setting that are to be others.
    """

    values: dict[str, Any] = {
        "classes": 10,
        "image_shape": (1, 8, 8),
        "device": torch.device("cpu"),
        "batch_size": 16,
        "replay_size": 0,
        "generator_steps": 10,
        "student_steps": 100,
        "teacher_count": 1,
        "teacher_shapes": {},
        "rng": RandomStreams(seed, torch.device("cpu")),
    }
    return Setting(**(values | changes))

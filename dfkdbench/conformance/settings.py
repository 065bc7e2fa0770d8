"""A toy setting, teacher and view, for tests of parts that need no whole run."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dfkdbench.rng import RandomStreams
from dfkdbench.seams import BatchStatistics, Setting, Signal, View


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


class NormedTeacher(nn.Module):
    """A fixed random network that gives every signal but features, on grey 8 x 8 images of ten classes.

    Two convolutions, of 6 and 10 channels, each with the statistics of a batch norm of running mean 0 and variance 0.3.
    """

    SHAPES: ClassVar = {"batch_norm_means": (6, 10), "stages": (6, 10), "batch_norm": (2,)}
    """What a setting says of it as `teacher_shapes`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.convolutions = nn.ModuleList([nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 10, 3, padding=1)])
        self.head = nn.Linear(10 * 64, 10)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, _wants: frozenset[str] = frozenset()) -> Signal:
        """All signals of images (batch, 1, 8, 8)."""
        statistics, means, stages = [], [], []
        for convolution in self.convolutions:
            images = convolution(images)
            variance, mean = torch.var_mean(images, dim=(0, 2, 3), correction=0)
            ones = torch.ones(len(mean), dtype=images.dtype)
            statistics.append(BatchStatistics(mean, variance, 0 * ones, 0.3 * ones))
            means.append(images.mean((2, 3)))
            images = torch.relu(images)
            stages.append(images)
        logits = 4 * self.head(images.flatten(1))
        return Signal(logits, None, tuple(stages), tuple(statistics), batch_norm_means=tuple(means))

    def view_of(self, images: Tensor, originals: Tensor | None = None, student: Signal | None = None) -> View:
        """What a loss sees of the images."""
        target: Signal = self(images)
        return View(images, target, (target,), student, None, self, originals)

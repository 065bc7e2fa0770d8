"""Fixtures for tests of CMI."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.conformance.settings import toy_setting
from dfkdbench.seams import BatchStatistics, Setting, Signal, View


class Teacher(nn.Module):
    """A fixed random network with two batch norms, on grey 8 x 8 images."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.convolutions = nn.ModuleList([nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 10, 3, padding=1)])
        self.head = nn.Linear(10 * 64, 10)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, wants: frozenset[str] = frozenset()) -> Signal:
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


@pytest.fixture
def teacher() -> Teacher:
    return Teacher()


@pytest.fixture
def make_setting() -> Callable[..., Setting]:
    """A setting of one small run; every role's random generator depends on `seed` and the role alone."""
    return partial(
        toy_setting,
        generator_steps=40,
        student_steps=40,
        teacher_shapes={"batch_norm_means": (6, 10), "stages": (6, 10), "batch_norm": (2,)},
        pixel_mean=(0.3,),
        pixel_std=(0.2,),
    )


@pytest.fixture
def view_of(teacher: Teacher) -> Callable[..., View]:
    """The view of images, with what a loss may ask for."""

    def make(images: Tensor, originals: Tensor | None = None, student: Signal | None = None) -> View:
        target = teacher(images)
        return View(images, target, (target,), student, None, teacher, originals)

    return make

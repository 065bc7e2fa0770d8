"""Fixtures for tests of CMI."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from dfkdbench.conformance.settings import NormedTeacher, toy_setting
from dfkdbench.seams import Setting, View


@pytest.fixture
def teacher() -> NormedTeacher:
    return NormedTeacher()


@pytest.fixture
def make_setting() -> Callable[..., Setting]:
    """A setting of one small run; every role's random generator depends on `seed` and the role alone."""
    return partial(
        toy_setting,
        generator_steps=40,
        student_steps=40,
        teacher_shapes=NormedTeacher.SHAPES,
        pixel_mean=(0.3,),
        pixel_std=(0.2,),
    )


@pytest.fixture
def view_of(teacher: NormedTeacher) -> Callable[..., View]:
    """The view of images, with what a loss may ask for."""
    return teacher.view_of

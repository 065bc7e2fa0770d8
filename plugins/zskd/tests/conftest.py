"""Fixtures for tests of ZSKD."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from dfkdbench.conformance.settings import toy_setting
from dfkdbench.seams import Setting


@pytest.fixture
def make_setting() -> Callable[..., Setting]:
    """A setting of one small run."""
    return partial(toy_setting, image_shape=(1, 16, 16), batch_size=32, generator_steps=60, student_steps=60)

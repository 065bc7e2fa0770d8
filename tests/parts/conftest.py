"""Fixtures for tests of parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dfkdbench.conformance.settings import toy_setting
from dfkdbench.seams import Setting, Signal, View

HOST_READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default}


class HostReadsForbidden(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in HOST_READS, f"{func} reads the device"
        return func(*args, **(kwargs or {}))


@pytest.fixture
def make_setting() -> Callable[..., Setting]:
    """A setting; every role's random generator depends on `seed` and the role alone."""
    return partial(
        toy_setting, image_shape=(1, 16, 16), batch_size=8, student_steps=10, teacher_shapes={"features": (6,)}
    )


@pytest.fixture
def host_reads_forbidden() -> TorchDispatchMode:
    """A context in which reading a tensor on the host fails the test."""
    return HostReadsForbidden()  # type: ignore[no-untyped-call]


@pytest.fixture
def view_of() -> Callable[..., View]:
    """A view with the given logits of the teacher, and what else is given."""

    def make(teacher: Tensor, student: Tensor | None = None, labels: Tensor | None = None, **signals: Any) -> View:
        target = Signal(teacher, **signals)
        images = torch.zeros(len(teacher), 1, 4, 4)
        return View(images, target, (target,), None if student is None else Signal(student), labels)

    return make

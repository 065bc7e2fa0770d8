"""Fixtures for tests of RDSKD."""

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
def host_reads_forbidden() -> TorchDispatchMode:
    """A context in which reading a tensor on the host fails the test."""
    return HostReadsForbidden()  # type: ignore[no-untyped-call]


@pytest.fixture
def make_setting() -> Callable[..., Setting]:
    """A setting of one small run."""
    return partial(
        toy_setting, batch_size=8, student_steps=10, rng=lambda role: torch.Generator().manual_seed(len(role))
    )


@pytest.fixture
def view_of() -> Callable[[Tensor, Tensor], View]:
    """A view of images with the given logits of the teacher."""

    def make(images: Tensor, logits: Tensor) -> View:
        target = Signal(logits)
        return View(images, target, (target,))

    return make

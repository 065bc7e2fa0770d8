"""Every test of captured rounds keeps its rates on the device, as there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from dfkdbench.parts import optimizers
from dfkdbench.parts.schedules import DeviceRate


@pytest.fixture(autouse=True)
def rates_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "_rate", lambda options, planned, like, _fused: DeviceRate(options, planned, like))


class _AsItIs(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@pytest.fixture
def in_a_dispatch_mode() -> Iterator[None]:
    """Rounds that no tape records run as those that one does.

    A tape is a dispatch mode, and in one autograd adds the gradients of images up out of place: with one channel the
    sum lies otherwise in memory than in place, and batch norms choose another order of additions by that.
    """
    with _AsItIs():
        yield

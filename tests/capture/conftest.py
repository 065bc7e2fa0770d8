"""Every test of captured rounds keeps its rates on the device, as there."""

from __future__ import annotations

import pytest

from dfkdbench.parts import optimizers
from dfkdbench.parts.schedules import DeviceRate


@pytest.fixture(autouse=True)
def rates_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "_rate", lambda options, planned, like, _fused: DeviceRate(options, planned, like))

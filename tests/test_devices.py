"""What a device holds."""

from __future__ import annotations

import torch

from dfkdbench.devices import memory_bytes


def test_memory_bytes__of_the_cpu_is_that_of_the_machine() -> None:
    total = memory_bytes(torch.device("cpu"))
    assert total is not None
    assert 2**28 < total < 2**50


def test_memory_bytes__of_a_device_without_memory_can_not_be_told() -> None:
    assert memory_bytes(torch.device("meta")) is None

"""The control on real data: the whole training set is held, so a set that is too large is refused."""

from __future__ import annotations

import pytest

from dfkdbench import control
from dfkdbench.bench import Request
from dfkdbench.datasets.digits import load_digits
from dfkdbench.errors import PlanError
from dfkdbench.lookup import look_up
from dfkdbench.plan import Plan, make_plan
from dfkdbench.registry import load_registry

BYTES = 4 * 1297 * 16 * 16


def digits_plan() -> Plan:
    method, cell, resolved = look_up(load_registry(), Request(plugin="real-data", dataset="digits", budget="smoke"))
    return make_plan(method, resolved, cell, {"t": ""}, 0, "cpu", "")


def test_all_samples__are_the_training_set_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST_BYTES", BYTES)
    assert control._all_samples(load_digits(None, train=True), digits_plan()).images.shape == (1297, 1, 16, 16)


def test_all_samples__of_a_larger_set_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST_BYTES", BYTES - 1)
    with pytest.raises(PlanError, match=r"'real-data' holds the 1,297 training images of digits as float32"):
        control._all_samples(load_digits(None, train=True), digits_plan())

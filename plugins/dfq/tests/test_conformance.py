"""The conformance kit; `dfkdbench plugin check --list` says what it holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.dfkdbench("dfkdbench-dfq", leave_out=("blindness",))
def test_conforms(conformance_check: Callable[[], None]) -> None:
    conformance_check()

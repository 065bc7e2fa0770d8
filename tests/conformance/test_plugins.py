"""Every plugin of this repository conforms, and so do the built-in parts.

Sealed runs take seconds each: here one part and one method are put to them, with `-m slow` everything.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import pytest

from dfkdbench.registry import CORE

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = sorted({CORE, *(f"dfkdbench-{folder.name.replace('_', '-')}" for folder in (ROOT / "plugins").iterdir())})
SEALED = ("blindness",)


def test_plugins__are_all_installed() -> None:
    assert set(OURS) <= {found.name for found in distributions()}


@pytest.mark.dfkdbench(*OURS, leave_out=SEALED)
def test_plugins__conform(conformance_check: Callable[[], None]) -> None:
    conformance_check()


@pytest.mark.dfkdbench("kl", "random-generator", only=SEALED)
def test_plugins__are_blind(conformance_check: Callable[[], None]) -> None:
    conformance_check()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.dfkdbench(*OURS, only=SEALED)
def test_plugins__are_all_blind(conformance_check: Callable[[], None]) -> None:
    conformance_check()

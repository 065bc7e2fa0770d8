"""The built-in parts conform, and so does every plugin: each has the same test among its own.

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


@pytest.mark.parametrize("distribution", OURS[1:])
def test_plugins__put_themselves_to_the_kit(distribution: str) -> None:
    folder = ROOT / "plugins" / distribution.removeprefix("dfkdbench-").replace("-", "_")
    text = (folder / "tests" / "test_conformance.py").read_text(encoding="utf-8")
    assert f'@pytest.mark.dfkdbench("{distribution}", leave_out=("blindness",))' in text


@pytest.mark.dfkdbench(CORE, leave_out=SEALED)
def test_core__conforms(conformance_check: Callable[[], None]) -> None:
    conformance_check()


@pytest.mark.dfkdbench("kl", "random-generator", only=SEALED)
def test_plugins__are_blind(conformance_check: Callable[[], None]) -> None:
    conformance_check()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.dfkdbench(*OURS, only=SEALED)
def test_plugins__are_all_blind(conformance_check: Callable[[], None]) -> None:
    conformance_check()

"""`pytest --pyargs dfkdbench.conformance.test_conformance --conforms NAME`."""

from __future__ import annotations

from collections.abc import Callable


def test_conformance(conformance_check: Callable[[], None]) -> None:
    """One check on one thing of the name."""
    conformance_check()

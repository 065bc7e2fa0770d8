"""Columns that the Markdown and the LaTeX tables share, and how their figures are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dfkdbench.boards.model import Claim, Effect, Row

NOTHING = "-"


def number(value: float | None, decimals: int = 2) -> str:
    """A number with thousands separated, or a dash."""
    return NOTHING if value is None else f"{value:,.{decimals}f}"


def interval(mean: float | None, half_width: float | None) -> str:
    """A mean with the half-width of its interval, where there are two."""
    return number(mean) + ("" if half_width is None else f" ± {half_width:.2f}")


def rank(row: Row) -> str:
    """The rank, or why there is none."""
    return NOTHING if row.rank is None else str(row.rank)


def failures(row: Row) -> str:
    """How many seeds failed and as what."""
    if not row.failures:
        return "0"
    every = len(row.scores) + len(row.failures)
    statuses = ", ".join(sorted({failure.status for failure in row.failures}))
    return f"{len(row.failures)} of {every} ({statuses})"


def claimed(claims: Sequence[Claim]) -> str:
    """The range of published figures and how many there are."""
    if not claims:
        return NOTHING
    values = sorted(claim.value for claim in claims)
    if values[0] == values[-1]:
        return f"{values[0]:.2f} ({len(values)})"
    return f"{values[0]:.2f} to {values[-1]:.2f} ({len(values)})"


def exchange(effect: Effect) -> str:
    """What an effect exchanges: `replay none -> bank`."""
    what = f"{effect.part} {effect.name}".rstrip()
    return f"{what} {effect.before} -> {effect.after}"


def hardware(rows: Iterable[Row]) -> list[str]:
    """Everything that the rows were measured on."""
    return sorted({name for row in rows for name in row.hardware})

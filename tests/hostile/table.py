"""The table of docs/hostile-plugins.md. `python tests/hostile/table.py` counts what it says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "hostile-plugins.md"
OUTCOMES = ("stopped", "detected", "documented")


class Row(NamedTuple):
    """What is tried, what becomes of it, what makes it so, and the test that shows it."""

    attempt: str
    what: str
    outcome: str
    why: str
    test: str


def rows() -> dict[str, Row]:
    """The table's rows by the name of what is tried."""
    cells = [re.split(r"\s*\|\s*", line.strip("| \n")) for line in PAGE.read_text(encoding="utf-8").splitlines()]
    found = [Row(*(cell.strip("`") for cell in line)) for line in cells if len(line) == 5 and "." in line[0]]
    return {row.attempt: row for row in found}


def counts() -> str:
    """How many were tried, and how many came to which outcome."""
    found = Counter(row.outcome for row in rows().values())
    return f"tried {found.total()}: " + ", ".join(f"{outcome} {found[outcome]}" for outcome in OUTCOMES)


if __name__ == "__main__":
    print(counts())

"""Checks and what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from dfkdbench.errors import DfkdbenchError

T = TypeVar("T")

LEVELS = {
    0: "schema and hashes",
    1: "the stored student, evaluated again",
    2: "blindness of a short run",
    3: "the run, repeated",
}


@dataclass(frozen=True)
class Check:
    """What was asked, and the answer.

    Attributes:
        holds: None where it could not be asked; the reason says why.
    """

    level: int
    name: str
    holds: bool | None
    reason: str

    @property
    def outcome(self) -> str:
        """pass, FAIL or skipped."""
        return "skipped" if self.holds is None else "pass" if self.holds else "FAIL"


_DISPENSABLE = frozenset({"images", "curve", "classes", "synthetic"})
"""Checks of a level that may be skipped without the level being left out: what they need is not always kept."""


def reached(checks: Sequence[Check]) -> int | None:
    """The highest level that held whole, with those below it; None where not even the files hold."""
    held = None
    for level in LEVELS:
        found = [check for check in checks if check.level == level and check.name not in _DISPENSABLE]
        if not found or not all(check.holds for check in found):
            break
        if any(check.holds is False for check in checks if check.level == level):
            break
        held = level
    return held


@dataclass
class Findings:
    """The checks of one run so far."""

    checks: list[Check] = field(default_factory=list)

    @property
    def hold(self) -> bool:
        """Whether nothing failed."""
        return all(check.holds is not False for check in self.checks)

    def add(self, level: int, name: str, problem: str, fine: str) -> bool:
        """Adds a check that fails with `problem`, or holds where that is empty."""
        self.checks.append(Check(level, name, not problem, problem or fine))
        return not problem

    def skip(self, level: int, name: str, reason: str) -> None:
        """Adds a check that could not be made."""
        self.checks.append(Check(level, name, None, reason))

    def attempt(self, level: int, name: str, read: Callable[[], T], fine: str) -> T | None:
        """What `read` gives, as a check that holds; None and one that fails where it raises a user's error."""
        try:
            value = read()
        except DfkdbenchError as error:
            self.add(level, name, error.message, "")
            return None
        self.add(level, name, "", fine)
        return value

    @contextmanager
    def failing(self, level: int, name: str) -> Iterator[None]:
        """An error that is the user's to mend, raised in the block, is a check that fails, with its message."""
        try:
            yield
        except DfkdbenchError as error:
            self.add(level, name, error.message, "")

"""What a check is, and what it may find."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dfkdbench.conformance.subjects import Subject

Result = Literal["pass", "FAIL", "does not apply", "not tried"]


class Breach(Exception):  # noqa: N818 - a finding, not an error of the kit
    """What a check holds does not hold: says what was seen."""


class DoesNotApply(Exception):  # noqa: N818 - likewise
    """The check has nothing to ask of this subject: says why."""


@dataclass(frozen=True)
class Check:
    """One thing that every plugin of some kinds has to hold.

    Attributes:
        name: How users call it.
        holds: What it holds, one sentence.
        remedy: What to do where it fails.
        kinds: The kinds of subjects it is for.
        target: "module:function" in this package, called with the subject; gives what was seen where it holds, raises
            `Breach` or `DoesNotApply` elsewhere. Named, not imported: some want torch.
        after: Checks without which this one says nothing.
    """

    name: str
    holds: str
    remedy: str
    kinds: frozenset[str]
    target: str
    after: tuple[str, ...] = ()

    def try_on(self, subject: Subject) -> str:
        """What was seen where the check holds.

        Raises:
            Breach: It does not hold.
            DoesNotApply: There is nothing to ask.
        """
        module, _, function = self.target.partition(":")
        run: Callable[[Subject], str] = getattr(importlib.import_module(f"{__package__}.{module}"), function)
        return run(subject)


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Attributes:
        reason: What was seen, why it does not apply, or what failed and what to do.
        seconds: How long it took.
    """

    check: str
    result: Result
    reason: str
    seconds: float = 0.0

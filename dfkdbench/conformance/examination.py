"""Makes the checks of a subject, each once, and says what came of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dfkdbench
from dfkdbench.conformance.catalogue import CHECKS
from dfkdbench.conformance.checks import Breach, Check, DoesNotApply, Outcome
from dfkdbench.conformance.subjects import Subject, find_subjects
from dfkdbench.errors import DfkdbenchError, unknown_name
from dfkdbench.registry import Registry, load_registry

_CHECKS = {check.name: check for check in CHECKS}


@dataclass
class Examination:
    """The checks of one subject. What a check counts on is made first, and each once."""

    subject: Subject
    _outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def checks(self) -> list[Check]:
        """Those for subjects of its kind."""
        return [check for check in CHECKS if self.subject.kind in check.kinds]

    def outcomes(self, only: str | None = None) -> Iterator[Outcome]:
        """What came of each check, or of one of them."""
        for check in self.checks:
            if only in (None, check.name):
                yield self.outcome(check)

    def outcome(self, check: Check) -> Outcome:
        """What came of a check."""
        if check.name not in self._outcomes:
            self._outcomes[check.name] = self._make(check)
        return self._outcomes[check.name]

    def _make(self, check: Check) -> Outcome:
        for name in check.after:
            before = _CHECKS[name]
            if self.subject.kind in before.kinds and self.outcome(before).result in ("FAIL", "not tried"):
                return Outcome(check.name, "not tried", f"says nothing before '{name}' holds")
        began = time.perf_counter()
        try:
            seen = check.try_on(self.subject)
        except DoesNotApply as nothing:
            return Outcome(check.name, "does not apply", str(nothing), time.perf_counter() - began)
        except Exception as error:  # a plugin may fail in any way, and each is a finding
            reason = f"{_told(error)} {check.remedy}"
            return Outcome(check.name, "FAIL", reason, time.perf_counter() - began)
        return Outcome(check.name, "pass", seen, time.perf_counter() - began)


def _told(error: Exception) -> str:
    """What went wrong, and where in the plugin."""
    if isinstance(error, Breach):
        return str(error)
    core = Path(dfkdbench.__file__).parent
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if core not in Path(frame.filename).parents and "torch" not in frame.filename]
    where = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    text = error.message if isinstance(error, DfkdbenchError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text}{where}."


def examinations_of(name: str, data_root: Path | None = None, registry: Registry | None = None) -> list[Examination]:
    """An examination for everything of a name: a method, part, data set, model or distribution.

    Raises:
        UnknownNameError: There is nothing of that name.
        DfkdbenchError: Two distributions claim the name.
    """
    return [Examination(subject) for subject in find_subjects(registry or load_registry(), name, data_root)]


def check_of(name: str) -> Check:
    """The check of a name.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in _CHECKS:
        raise unknown_name("check", name, _CHECKS, "dfkdbench plugin check --list")
    return _CHECKS[name]

"""What became of starts that left no record, so that nothing is tried for ever, by this driver or the next."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

from dfkdbench.errors import RunError
from dfkdbench.executors.jobs import KEPT, Ending

_REFUSED = 2
"""Exit status of a command whose user made a mistake: the same command would end the same."""


@dataclass(frozen=True)
class Attempt:
    """A start that left no record."""

    key: str
    exit_status: int
    reason: str

    @property
    def is_final(self) -> bool:
        """Whether the same command would end the same."""
        return self.exit_status == _REFUSED


class Attempts:
    """A file of attempts, one JSON object a line; several drivers may append to it."""

    def __init__(self, runs: Path) -> None:
        self._path = runs / KEPT / "attempts.jsonl"
        self._of: dict[str, list[Attempt]] = {}
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else ():
            try:
                tree = json.loads(line)
                attempt = Attempt(str(tree["key"]), int(tree["exit_status"]), str(tree["reason"]))
            except (ValueError, KeyError, TypeError):
                continue  # cut short by a full disk or a kill
            self._of.setdefault(attempt.key, []).append(attempt)

    def add(self, ending: Ending) -> None:
        """Notes a start that left no record.

        Raises:
            RunError: The disk is full.
        """
        attempt = Attempt(ending.key, ending.exit_status, ending.message)
        self._of.setdefault(ending.key, []).append(attempt)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        tree = {"key": ending.key, "exit_status": ending.exit_status, "reason": ending.message, "at": now}
        tree["seconds"] = round(ending.seconds, 1)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(tree) + "\n")
        except OSError as error:
            raise RunError(f"Can't write {self._path}: {error}. Nothing finished is lost.") from None

    def given_up(self, key: str, retries: int) -> str:
        """Why something is not tried again, or nothing."""
        tried = self._of.get(key, [])
        if tried and tried[-1].is_final:
            return tried[-1].reason
        if len(tried) > retries:
            last = tried[-1]
            return f"{len(tried)} starts left no record, the last with exit status {last.exit_status}: {last.reason}"
        return ""

    def forget(self) -> None:
        """Starts counting anew."""
        self._of.clear()
        self._path.unlink(missing_ok=True)

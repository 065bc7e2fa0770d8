"""Everything that observers are told, as JSON lines in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dfkdbench.errors import ConfigError
from dfkdbench.hookspecs import hookimpl


class JsonLines:
    """One line for each call of a hook: `event`, which is the hook's name without `dfkdbench_`, and its arguments.

    Lines are added to a file that is there already; each is written out at once.

    Args:
        place: The file.

    Raises:
        ConfigError: It can't be written.
    """

    def __init__(self, place: Path) -> None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            self._file = place.open("a", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"The observer 'jsonl' can't write to '{place}': {error.strerror}.") from error

    @hookimpl
    def dfkdbench_run_started(self, run_id: str, plan: Mapping[str, Any], isolation: str) -> None:
        """Writes the plan and what seals the worker."""
        self._write("run_started", run_id, plan=plan, isolation=isolation)

    @hookimpl
    def dfkdbench_report(self, run_id: str, report: Mapping[str, Any]) -> None:
        """Writes a report of the worker."""
        self._write("report", run_id, report=report)

    @hookimpl
    def dfkdbench_evaluated(self, run_id: str, evaluation: Mapping[str, Any]) -> None:
        """Writes an evaluation."""
        self._write("evaluated", run_id, evaluation=evaluation)

    @hookimpl
    def dfkdbench_run_finished(self, run_id: str, result: Mapping[str, Any]) -> None:
        """Writes the record."""
        self._write("run_finished", run_id, result=result)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, event: str, run_id: str, **arguments: Any) -> None:
        self._file.write(json.dumps({"event": event, "run_id": run_id, **arguments}) + "\n")
        self._file.flush()

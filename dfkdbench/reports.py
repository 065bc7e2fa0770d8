"""The worker's reports as the judge reads them: hostile input, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dfkdbench.errors import IntegrityError
from dfkdbench.files import read_no_follow

_LINE_LIMIT = 1 << 20
_FILE_LIMIT = 1 << 30


class ReportReader:
    """Reads a file of reports while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._torn = b""

    def new(self) -> Iterator[dict[str, Any]]:
        """Every whole line written since the last call.

        Raises:
            IntegrityError: The file can't be read or is too large, or a line is no JSON object.
        """
        data = read_no_follow(self._path, limit=_FILE_LIMIT, start=self._read_bytes)
        self._read_bytes += len(data)
        *lines, self._torn = (self._torn + data).split(b"\n")
        yield from map(_parse_line, lines)


def _parse_line(line: bytes) -> dict[str, Any]:
    try:
        report = json.loads(line[:_LINE_LIMIT])
    except ValueError:
        raise IntegrityError("The worker wrote a report that is no JSON line.") from None
    if not isinstance(report, dict):
        raise IntegrityError("The worker wrote a report that is no JSON object.")
    return report

"""The worker's reports: written one JSON object a line, and read by the judge as hostile input."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Never

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dfkdbench.errors import IntegrityError
from dfkdbench.files import read_no_follow

EVALUATION_BYTES = 1024
"""Of every line of evaluations.jsonl: a worker can't read that file and can ask how large it is."""

_LINE_LIMIT = 1 << 20
_FILE_LIMIT = 1 << 30
_ERROR_LIMIT = 2000

Count = Annotated[int, Field(ge=0, le=1 << 53)]
Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Status = Literal["finished", "diverged", "out-of-memory", "failed", "over-budget"]


def append_line(path: Path, value: Mapping[str, Any], width: int = 0) -> None:
    """Appends a JSON line in one write, filled up with spaces to `width` bytes."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(value, allow_nan=False).ljust(width - 1) + "\n")


class ReportReader:
    """Reads a file of reports while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._torn = b""

    def new(self) -> Iterator[dict[str, Any]]:
        """Every whole line written since the last call.

        Raises:
            IntegrityError: The file can't be read or is too large, or a line is too long or no JSON object.
        """
        data = read_no_follow(self._path, limit=_FILE_LIMIT, start=self._read_bytes)
        self._read_bytes += len(data)
        *lines, self._torn = (self._torn + data).split(b"\n")
        yield from map(_parse_line, lines)
        if len(self._torn) > _LINE_LIMIT:
            raise IntegrityError(f"The worker wrote a line of more than {_LINE_LIMIT:,} bytes.")

    def cut_torn(self) -> None:
        """Cuts off a line that an earlier start left unfinished: the next one's first would be read as its end.

        Raises:
            IntegrityError: The file can't be opened, or is a link.
        """
        if not self._torn:
            return
        self._read_bytes -= len(self._torn)
        self._torn = b""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise IntegrityError(f"Can't open {self._path}: {error.strerror}.") from None
        try:
            os.ftruncate(descriptor, self._read_bytes)
        finally:
            os.close(descriptor)


class _Form(BaseModel):
    """What a report may say: these keys, of these types, and numbers that can be."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Capture(_Form):
    """How rounds are submitted to the device, and why they are not captured where they are not.

    Attributes:
        together: Runs in the same program, which share its time and memory.
    """

    state: Literal["eager", "graph", "compile"]
    why: Annotated[str, Field(max_length=_ERROR_LIMIT)]
    together: Annotated[int, Field(ge=1, le=1 << 16)] = 1

    def told(self) -> str:
        """In words."""
        words = {"eager": "eager", "graph": "captured as CUDA graphs", "compile": "compiled"}[self.state]
        words += f", {self.together} runs together" if self.together > 1 else ""
        return f"{words}: {self.why}" if self.why else words


class _Spent(_Form):
    capture: Capture | None = None
    seconds: Amount
    fraction: Annotated[float, Field(ge=0, le=1)]
    peak_memory_mb: Amount
    replay_bytes: Count
    student_steps: Count
    student_samples: Count
    teacher_queries: Count
    generator_steps: Count
    losses: dict[str, Annotated[float, Field(allow_inf_nan=False)]]


class _Progress(_Spent):
    event: Literal["progress"]


class _Snapshot(_Spent):
    event: Literal["snapshot"]
    index: Count


class _End(_Spent):
    event: Literal["end"]
    status: Status
    error: str


class _Broken(_Form):
    """The end of a run whose last counts can't be told."""

    event: Literal["end"]
    status: Status
    error: str


class _Resumed(_Form):
    event: Literal["resumed"]
    student_steps: Count


class _Refused(_Form):
    event: Literal["refused"]
    error: str


_FORMS: dict[str, type[_Form]] = {
    "progress": _Progress,
    "snapshot": _Snapshot,
    "end": _End,
    "resumed": _Resumed,
    "refused": _Refused,
}


def checked(report: dict[str, Any]) -> dict[str, Any]:
    """A report that says what reports say; the text of an error made harmless.

    Raises:
        IntegrityError: It does not; the message names the place.
    """
    form = _FORMS.get(str(report.get("event")))
    if form is None:
        raise IntegrityError(f"The worker wrote a report of an event that is none of {', '.join(_FORMS)}.")
    if form is _End and "seconds" not in report:
        form = _Broken
    try:
        form.model_validate(report)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise IntegrityError(plain(f"The worker wrote a report that can't be used: {place}: {first['msg']}.")) from None
    return {**report, "error": plain(report["error"])} if "error" in report else report


def plain(text: str) -> str:
    """The text in one line, without what a terminal would obey, of 2,000 characters at most."""
    return "".join(each if each.isprintable() else " " for each in text[:_ERROR_LIMIT])


def _parse_line(line: bytes) -> dict[str, Any]:
    try:
        report = json.loads(line[:_LINE_LIMIT], parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise IntegrityError("The worker wrote a report that is no JSON line.") from None
    if not isinstance(report, dict):
        raise IntegrityError("The worker wrote a report that is no JSON object.")
    return report


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is no number")

"""What a word, a hash and a number of a board's files may look like, and JSON that is safe to read."""

from __future__ import annotations

import functools
import json
import math
import re
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from dfkdbench.errors import IntegrityError
from dfkdbench.files import read_no_follow

_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

Name = Annotated[str, StringConstraints(pattern=rf"^{_WORD}$")]
"""A name of a method, data set, architecture, distribution or tier."""

PartName = Annotated[str, StringConstraints(pattern=rf"^({_WORD}:)?{_WORD}$")]
"""A name of a part, with its distribution where two claim the name."""

Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,31}$")]
Pair = Annotated[str, StringConstraints(pattern=rf"^{_WORD}:{_WORD}$")]
RunId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,250}$")]
Protocol = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}\.[0-9]{1,3}$")]
League = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z+-]{0,79}$")]
Status = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]{0,31}$")]
Device = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,16}(:[0-9]{1,3})?$")]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""A short line of free text."""

Percent = Annotated[float, Field(ge=0, le=100)]
Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0, le=2**53)]

_DEEPEST = 16
_MOST_VALUES = 50_000
_LONGEST_TEXT = 10_000
_LARGEST_INTEGER = 2**63
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+/-]{0,127}")


class Strict(BaseModel):
    """Base of what a board's own files hold: exact types, nothing unknown, no infinity."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Reading(BaseModel):
    """Base of what is read of other people's files: exact types of what is needed, the rest passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)


def read_bytes(path: Path, limit: int) -> bytes:
    """The bytes of a file of at most `limit` bytes that is no link.

    Raises:
        IntegrityError: It is something else; the message names the file without its folder.
    """
    try:
        return read_no_follow(path, limit=limit)
    except IntegrityError as error:
        raise IntegrityError(error.message.replace(str(path), path.name)) from None


def read_tree(path: Path, limit: int) -> dict[str, Any]:
    """A JSON object from a file of at most `limit` bytes, with nothing in it that could not be written again.

    Raises:
        IntegrityError: Missing, a link, too large, torn, too deep, with a key twice, or with a number that is not
            finite. The message names the file without its folder.
    """
    data = read_bytes(path, limit)
    try:
        tree = json.loads(data, parse_constant=_refuse_constant, object_pairs_hook=_without_doubles)
        if not isinstance(tree, dict):
            raise ValueError("it holds no object")
        _refuse_oddities(tree)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path.name} is no whole JSON file: {shown(str(error), 200)}.") from None
    return tree


def first_error(error: ValidationError) -> str:
    """The first thing that a model has against its input, in one line."""
    return explained(error.errors(include_url=False)[0])


def explained(first: Any) -> str:
    """One of the errors of a `ValidationError`, in one line."""
    place = ".".join(shown(str(step), 64) for step in first["loc"]) or "the file"
    if first["type"] == "missing":
        return f"{place} is missing"
    return f"{place} is {shown(repr(first['input']), 60)}; {first['msg'][:120]}"


def shown(text: str, longest: int = 100) -> str:
    """A stranger's text for a message: one line, ASCII, cut."""
    line = " ".join(text.split()).encode("ascii", "backslashreplace").decode()
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no finite number")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key stands there twice")
    return tree


def _refuse_oddities(tree: dict[str, Any]) -> None:
    """Refuses what is deep or endless, and what JSON lets through and nothing else does.

    Raises:
        ValueError: With the first of them.
    """
    level: list[Any] = [tree]
    seen = 0
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for value in level:
            kind = type(value)  # what JSON gives is of no other class
            if kind is float:
                if not math.isfinite(value):
                    raise ValueError("a number is not finite")
            elif kind is int:
                if not -_LARGEST_INTEGER < value < _LARGEST_INTEGER:
                    raise ValueError("a number is out of range")
            elif kind is str:
                _refuse_text(value)
            elif kind is list:
                below += value
            elif kind is dict:
                below += value.values()
                for key in value:
                    _refuse_key(key)
        seen += len(below)
        if seen > _MOST_VALUES:
            raise ValueError(f"it holds more than {_MOST_VALUES:,} values")
        if not below:
            return
        level = below
    raise ValueError(f"it is nested deeper than {_DEEPEST} levels")


@functools.lru_cache(4096)
def _refuse_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise ValueError(f"'{shown(key, 40)}' is no key")


def _refuse_text(text: str) -> None:
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"a text is longer than {_LONGEST_TEXT:,} letters")
    if not text.isascii():
        text.encode()  # half a surrogate pair can't be: UnicodeEncodeError is a ValueError

"""What lies in the folder of a run, read as other people's files: no links, no endless files, no wrong types."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dfkdbench.errors import DataError, IntegrityError
from dfkdbench.files import read_no_follow
from dfkdbench.plan import Plan
from dfkdbench.records import Result, read_result
from dfkdbench.runfolder import RESULT_FILE, RunFolder, locate

_JSON_LIMIT = 1 << 24
_STUDENT_LIMIT = 1 << 31
_MOST_THREADS = 4096


@dataclass(frozen=True)
class Stored:
    """A run's files.

    Attributes:
        student: The bytes of its student, or None where the record promises none.
        threads: Of the worker, or None where no readable `launch.json` says.
        packages: Versions of packages, or nothing where no readable `env.json` says.
        shortcuts: Of `dfkdbench.shortcuts`, or None where no readable `launch.json` says.
    """

    folder: RunFolder
    record: Result
    plan: Plan
    student: bytes | None
    threads: int | None
    packages: dict[str, str]
    shortcuts: frozenset[str] | None


def find_run(given: Path) -> RunFolder:
    """The folder of a run, from its path or that of its record.

    Raises:
        DataError: There is none.
    """
    path = locate(given)
    inside = sorted(found.parent.name for found in path.glob(f"*/{RESULT_FILE}"))
    if inside and not (path / RESULT_FILE).exists():
        raise DataError(f"{given} is a folder of {len(inside)} runs. Expected one run or several: {given}/*")
    return RunFolder(path.resolve())


def read_record(folder: RunFolder) -> Result:
    """The record.

    Raises:
        IntegrityError: It is missing, a link, too large, torn, of another schema, or holds a number that is not finite.
    """
    _refuse_non_finite(folder.result, _read_json(folder.result))
    return read_result(folder.result)


def read_plan(folder: RunFolder) -> Plan:
    """The plan.

    Raises:
        IntegrityError: As `read_record`; also where it says what a plan does not, or not in a plan's words.
    """
    tree = _read_json(folder.plan)
    _refuse_non_finite(folder.plan, tree)
    try:
        plan = Plan.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "the file"
        raise IntegrityError(f"{folder.plan} is no plan: {place}: {first['msg']}.") from None
    if not plan.teachers or not plan.evaluate_at or "aggregator" not in plan.slots:
        raise IntegrityError(f"{folder.plan} is no plan: it has no teacher, no evaluation or no aggregator.")
    if difference := first_difference(tree, plan.model_dump(mode="json")):
        raise IntegrityError(f"{folder.plan} is not written as plans are: {difference}.")
    return plan


def read_student(folder: RunFolder, record: Result) -> bytes | None:
    """The bytes of the student, or None where the record is that of a run that did not finish."""
    if record.status != "finished":
        return None
    return read_no_follow(folder.student, limit=_STUDENT_LIMIT)


def read_threads(folder: RunFolder) -> int | None:
    """Threads of the worker, where the folder says."""
    try:
        threads = _read_json(folder.launch).get("threads")
    except (IntegrityError, AttributeError):
        return None
    return threads if isinstance(threads, int) and 1 <= threads <= _MOST_THREADS else None


def read_shortcuts(folder: RunFolder) -> frozenset[str] | None:
    """Shortcuts that were in force, where the folder says."""
    try:
        names = _read_json(folder.launch).get("shortcuts")
    except (IntegrityError, AttributeError):
        return None
    return frozenset(map(str, names)) if isinstance(names, list) else None


def read_packages(folder: RunFolder) -> dict[str, str]:
    """Versions of packages, where the folder says."""
    try:
        packages = _read_json(folder.environment).get("packages")
    except (IntegrityError, AttributeError):
        return {}
    return {str(name): str(version) for name, version in packages.items()} if isinstance(packages, dict) else {}


def first_difference(recorded: Any, expected: Any, place: str = "") -> str:
    """The first place where two trees of plain values differ and both values, or nothing."""
    if isinstance(recorded, dict) and isinstance(expected, dict):
        for key in sorted(recorded.keys() | expected.keys()):
            below = f"{place}.{key}" if place else key
            if key not in recorded or key not in expected:
                return f"{below} is {'left over' if key in recorded else 'missing'}"
            if found := first_difference(recorded[key], expected[key], below):
                return found
        return ""
    if recorded == expected and type(recorded) is type(expected):
        return ""
    return f"{place} is {_short(recorded)}, expected {_short(expected)}"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_no_follow(path, limit=_JSON_LIMIT))
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is no whole JSON file: {error}") from None


def _refuse_non_finite(path: Path, tree: Any) -> None:
    for place, number in _numbers(tree, ""):
        if not math.isfinite(number):
            raise IntegrityError(f"{path}: {place} is {number}, expected a finite number.")


def _numbers(tree: Any, place: str) -> Iterator[tuple[str, float]]:
    if isinstance(tree, float):
        yield place, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _numbers(value, f"{place}.{key}" if place else str(key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _numbers(value, f"{place}.{index}")

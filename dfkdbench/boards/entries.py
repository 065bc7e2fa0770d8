"""Entries: a folder a run with its plan, its record and, where there are, a thumbnail and how it was verified.

Everything here was written by others: read as data, bounded, checked, and told in one sentence where it does not hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from dfkdbench.boards.consistency import problem_within
from dfkdbench.boards.fields import Hash, Reading, first_error, read_bytes, read_tree, shown
from dfkdbench.boards.migrations import migrated
from dfkdbench.boards.reading import ReadPlan, ReadResult
from dfkdbench.boards.thumbnails import LARGEST_THUMBNAIL, THUMBNAIL, check_thumbnail
from dfkdbench.errors import ConfigError, IntegrityError
from dfkdbench.files import canonical_json, sha256_of

FOLDER = "entries"
PLAN = "plan.json"
RESULT = "result.json"
VERIFICATION = "verification.json"
UNVERIFIED = "none"
LARGEST = {PLAN: 1 << 18, RESULT: 1 << 20, VERIFICATION: 1 << 14, THUMBNAIL: LARGEST_THUMBNAIL}
"""The files that an entry may hold, and the most bytes of each. Plan and record must be there."""

_OF_A_SEED = ("seed", "device")


class Verification(Reading):
    """How far `dfkdbench verify` checked a record. Written by the board's host, not by who submits.

    Attributes:
        result_sha256: Of the record's file, so that a changed record is not taken for a verified one.
    """

    schema_number: Literal[1] = Field(alias="schema")
    level: Literal["L0", "L1", "L2", "L3"]
    result_sha256: Hash


@dataclass(frozen=True)
class Entry:
    """An entry that holds.

    Attributes:
        plan: Of one of the runs with these settings; they differ in seed and device, which the record has.
        settings: Hash of the plan without seed and device: equal for runs that may be averaged.
        verified: "L0" to "L3", or "none".
    """

    run_id: str
    plan: ReadPlan
    result: ReadResult
    settings: str
    thumbnail: bool
    verified: str

    @property
    def finished(self) -> bool:
        """Whether it has a final accuracy."""
        return self.result.accuracy_final is not None


@dataclass(frozen=True)
class Problem:
    """An entry that is left out, and why."""

    entry: str
    message: str


def entry_folders(board: Path) -> Iterator[Path]:
    """What lies in a board's `entries`, sorted; what is being written has a name that starts with a dot.

    Raises:
        ConfigError: The folder is no folder.
    """
    folder = board / FOLDER
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"'{folder}' is no folder; a board keeps its entries there.")
    for name in sorted(path.name for path in folder.iterdir()):
        if not name.startswith("."):
            yield folder / name


def scan_entries(board: Path) -> tuple[list[Entry], list[Problem]]:
    """Every entry of a board that holds in itself, and one sentence for each that does not."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    plans: dict[str, ReadPlan] = {}
    for folder in entry_folders(board):
        try:
            entries.append(read_entry(folder, plans))
        except IntegrityError as error:
            problems.append(Problem(shown(folder.name), error.message))
    return entries, problems


def read_entry(folder: Path, plans: dict[str, ReadPlan] | None = None) -> Entry:
    """The entry in a folder, of the schema of today.

    Args:
        plans: Plans by settings that were read before; entries of several seeds share one.

    Raises:
        IntegrityError: Anything that does not hold, without the folder's name.
    """
    present = _files_of(folder)
    plan_tree, result_tree = (read_tree(folder / name, LARGEST[name]) for name in (PLAN, RESULT))
    plan, result = _checked(plan_tree, migrated(result_tree))
    digest, settings = _digests(plan_tree)
    _check_id(folder.name, digest, plan, result)
    if problem := problem_within(plan, result):
        raise IntegrityError(f"{problem}.")
    if THUMBNAIL in present:
        check_thumbnail(read_bytes(folder / THUMBNAIL, limit=LARGEST_THUMBNAIL))
    return Entry(
        run_id=result.run_id,
        plan=plan if plans is None else plans.setdefault(settings, plan),
        result=result,
        settings=settings,
        thumbnail=THUMBNAIL in present,
        verified=_verified(folder) if VERIFICATION in present else UNVERIFIED,
    )


def _digests(plan: dict[str, Any]) -> tuple[str, str]:
    """The digits of a run's id, of its whole plan, and the hash of its settings: all but seed and device."""
    pieces = {key: f"{canonical_json(key)}:{canonical_json(plan[key])}" for key in sorted(plan)}
    kept = [piece for key, piece in pieces.items() if key not in _OF_A_SEED]
    whole, settings = (f"{{{','.join(each)}}}" for each in (pieces.values(), kept))
    return sha256_of(whole.encode())[:12], sha256_of(settings.encode())


def _files_of(folder: Path) -> set[str]:
    """Names of the files of an entry.

    Raises:
        IntegrityError: It is a link or no folder, lacks a file, or holds another one.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise IntegrityError(f"It is no folder; an entry is one with {PLAN} and {RESULT}.")
    try:
        with os.scandir(folder) as found:
            present = {file.name for file in found}
    except OSError as error:
        raise IntegrityError(f"It can't be read: {error.strerror}.") from None
    if missing := {PLAN, RESULT} - present:
        raise IntegrityError(f"{' and '.join(sorted(missing))} {'are' if len(missing) > 1 else 'is'} missing.")
    if unknown := sorted(present - LARGEST.keys()):
        raise IntegrityError(f"It holds {shown(unknown[0])}; an entry holds {', '.join(sorted(LARGEST))} alone.")
    return present


def _checked(plan_tree: dict[str, Any], result_tree: dict[str, Any]) -> tuple[ReadPlan, ReadResult]:
    name = PLAN
    try:
        plan = ReadPlan.model_validate(plan_tree)
        name = RESULT
        return plan, ReadResult.model_validate(result_tree)
    except ValidationError as error:
        what = "plan" if name == PLAN else "record"
        raise IntegrityError(f"{name} is no {what} of a run: {first_error(error)}.") from None


def _check_id(folder: str, digest: str, plan: ReadPlan, result: ReadResult) -> None:
    """Refuses a record of another run, and a plan that is not what its id says.

    Raises:
        IntegrityError: With the two that differ.
    """
    if folder != result.run_id:
        raise IntegrityError(f"The folder has another name than the run of its record, {result.run_id}.")
    start = f"{plan.plugin}-{plan.input.dataset}-{plan.pair.replace(':', '-')}-s{plan.seed}"
    if result.run_id != f"{start}-{digest}":
        raise IntegrityError(f"plan.json is the plan of {start}-{digest}, and the record is of {result.run_id}.")


def _verified(folder: Path) -> str:
    """The level in an entry's verification.

    Raises:
        IntegrityError: It can't be read, or is of another record than the one that lies there.
    """
    try:
        found = Verification.model_validate(read_tree(folder / VERIFICATION, LARGEST[VERIFICATION]))
    except ValidationError as error:
        raise IntegrityError(f"{VERIFICATION}: {first_error(error)}.") from None
    if found.result_sha256 != sha256_of(read_bytes(folder / RESULT, limit=LARGEST[RESULT])):
        raise IntegrityError(f"{VERIFICATION} is of another record than {RESULT}: verify it again.")
    return found.level

"""`leaderboard.toml`: what a board measures, and which entries it takes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from dfkdbench.boards.fields import Count, Hash, League, Line, Name, Pair, Percent, Protocol, Strict, explained
from dfkdbench.descriptors import PRIORS, TEACHER_ACCESS
from dfkdbench.errors import ConfigError, nearest
from dfkdbench.statistics.cells import MINIMUM_SEEDS

FILE = "leaderboard.toml"
SCHEMA: Literal[1] = 1
EVERY = "every"
_LARGEST = 1 << 20


class PinnedTeacher(Strict):
    """A teacher that runs of a cell use.

    Attributes:
        accuracy: Percent on the test set, from the teacher's card. Entries that say otherwise are refused.
    """

    name: Name
    sha256: Hash
    accuracy: Percent


class Tier(Strict):
    """A budget, in numbers: see `dfkdbench.descriptors.Budget`."""

    name: Name
    student_samples: Count
    teacher_queries: Count
    device_seconds: Count
    evaluations: Count


class Cell(Strict):
    """What is measured: data set, pair, teachers and tiers.

    Attributes:
        test_set_sha256: Fingerprint of the test set.
        teachers: All that a run uses at once, in order. A pair with other teachers is a cell of its own.
    """

    dataset: Name
    pair: Pair
    test_set_sha256: Hash | None = None
    teachers: list[PinnedTeacher] = Field([])
    budgets: list[Tier] = Field(min_length=1)

    @property
    def is_open(self) -> bool:
        """Whether teachers and test set are still to be pinned; until then there is nothing to compare entries by."""
        return not self.teachers or self.test_set_sha256 is None

    @property
    def hashes(self) -> tuple[str, ...]:
        """Of the teachers, in order."""
        return tuple(teacher.sha256 for teacher in self.teachers)

    @property
    def title(self) -> str:
        """Data set, pair and, where there are several, the number of teachers."""
        several = f", {len(self.teachers)} teachers" if len(self.teachers) > 1 else ""
        return f"{self.dataset} {self.pair}{several}"

    def tier(self, name: str) -> Tier | None:
        """The tier of that name, or None."""
        return next((tier for tier in self.budgets if tier.name == name), None)


class Definition(Strict):
    """A board's rules.

    Attributes:
        minimum_seeds: Finished seeds below which a row has no rank.
        league: The league whose entries are taken, controls aside; "every" takes all, each ranked on its own.
        processes: The most that may do a run together.
        ranking: The column that ranks. The protocol knows one: the accuracy at the end of the budget.
    """

    schema_number: Literal[1] = Field(alias="schema")
    name: Name
    title: Line
    description: str = Field("", max_length=4000)
    protocol: Protocol
    minimum_seeds: int = Field(MINIMUM_SEEDS, ge=1, le=100)
    league: League = EVERY
    processes: int = Field(1, ge=1, le=1024)
    ranking: Literal["accuracy_final"] = "accuracy_final"
    cells: list[Cell] = Field(min_length=1)

    @field_validator("league")
    @classmethod
    def _is_known(cls, league: str) -> str:
        known = {name.replace("_", "-") for name in (*TEACHER_ACCESS, *PRIORS)} | {EVERY, "none"}
        for word in league.split("+"):
            if word not in known:
                raise ValueError(f"'{word}' is no league.{nearest(word, known)} There are: {', '.join(sorted(known))}")
        return league

    @model_validator(mode="after")
    def _has_each_cell_once(self) -> Definition:
        seen = set()
        for cell in self.cells:
            key = (cell.dataset, cell.pair, cell.hashes)
            if key in seen or len({tier.name for tier in cell.budgets}) < len(cell.budgets):
                raise ValueError(f"the cell {cell.title}, or a budget of it, stands there twice")
            seen.add(key)
        return self

    def cells_of(self, dataset: str, pair: str) -> list[Cell]:
        """The cells of a data set and pair, which differ in their teachers."""
        return [cell for cell in self.cells if (cell.dataset, cell.pair) == (dataset, pair)]

    def tables(self) -> Iterator[tuple[Cell, Tier]]:
        """Every cell with each of its tiers, in the order of the file: each is a table."""
        for cell in self.cells:
            for tier in cell.budgets:
                yield cell, tier


def read_definition(folder: Path) -> Definition:
    """The rules of the board in a folder.

    Raises:
        ConfigError: There is no board, or its file has a mistake; the message names the place.
    """
    path = folder / FILE
    if not path.is_file():
        raise ConfigError(
            f"There is no board in '{folder}': expected a {FILE} there. "
            f"Make one with: dfkdbench leaderboard init {folder} --dataset digits"
        )
    try:
        tree = tomllib.loads(path.read_bytes()[:_LARGEST].decode())
    except (OSError, ValueError) as error:
        raise ConfigError(f"Can't read {path}: {error}") from None
    number = tree.get("schema")
    if type(number) is int and number > SCHEMA:
        raise ConfigError(f"{path} has schema {number}; this dfkdbench reads up to {SCHEMA}. Take a newer dfkdbench.")
    try:
        return Definition.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}.") from None


def _explain(error: ValidationError) -> str:
    """The first mistake; unknown keys come first, each with the nearest that there is."""
    errors: list[Any] = error.errors(include_url=False)
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    if first["type"] != "extra_forbidden":
        return explained(first)
    key = str(first["loc"][-1])
    inner: type[Strict] = Tier if "budgets" in first["loc"] else PinnedTeacher
    outer: dict[int, type[Strict]] = {1: Definition, 3: Cell}
    model = outer.get(len(first["loc"]), inner)
    known = [field.alias or name for name, field in model.model_fields.items()]
    return f"there is no key '{key}'.{nearest(key, known)} There are: {', '.join(known)}"

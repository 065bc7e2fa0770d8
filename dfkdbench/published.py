"""Figures that papers claim, each with its source: beside measurements, never ranked with them."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dfkdbench.errors import IntegrityError
from dfkdbench.places import assets_folder

SEPARATOR = " | "
"""Between the texts of several records of one figure."""

POINT = 1.0
"""Two reports of one cell disagree when they are more than this apart, in points."""

METRICS = (
    "accuracy",
    "accuracy_mean",
    "accuracy_std",
    "accuracy_variance",
    "miou",
    "time_hours",
    "memory_mb",
)
EPOCHS = ("best", "last", "unspecified", "every", "")
CLAIMS = ("own", "other", "reference")
KINDS = ("paper", "reproduction", "issue")

_COMPARED_AS = {"accuracy": "accuracy", "accuracy_mean": "accuracy", "miou": "miou"}
_COMPARABLE_EPOCHS = (frozenset({"best", "unspecified"}), frozenset({"last", "unspecified"}), frozenset({"every"}))


@dataclass(frozen=True)
class Figure:
    """One claimed number. The fields are the columns of `figures.csv`; empty means that the source does not say.

    Attributes:
        paper: Key of the source, see `Source`.
        kind: What the source is: a paper, a reproduction of one, or an issue thread.
        claim: "own" method of the paper, "other" method, or "reference" (a teacher, real data, noise).
        method: The suite's name where it is the same method, else the reported one.
        reported_method: The name as the source gives it.
        setting: What sets this result apart from the method's main result; figures are compared within one setting.
        variant: The words that the record had for that.
        metric: One of `METRICS`. Accuracies and mIoU are in percent; a mean and a std are over runs, a variance is over
            the epochs of a run.
        epoch: Which epoch counts: "best" on test, "last", "unspecified", or "every" for figures over all of a run.
        code_epoch: Which epoch the released code keeps, where that was looked up.
        value: As printed.
        records: How many records of the collection this figure was merged from.
    """

    paper: str
    kind: str
    claim: str
    method: str
    reported_method: str
    setting: str
    variant: str
    dataset: str
    teacher: str
    student: str
    metric: str
    epoch: str
    code_epoch: str
    value: float
    teacher_accuracy: float | None
    scratch_accuracy: float | None
    seeds: int | None
    source: str
    locator: str
    notes: str
    records: int

    @property
    def pair(self) -> str:
        """Teacher and student as commands take them, a dash for one that is not stated."""
        return f"{self.teacher or '-'}:{self.student or '-'}"


COLUMNS = tuple(field.name for field in dataclasses.fields(Figure))


@dataclass(frozen=True)
class Source:
    """Who reported a figure.

    Attributes:
        paper: Key.
        kind: One of `KINDS`.
        own_methods: Names here of the methods that this paper proposes.
        reference: Authors, title and venue, or what the source is.
    """

    paper: str
    kind: str
    own_methods: tuple[str, ...]
    reference: str


class Cell(NamedTuple):
    """What two figures must have in common to be compared."""

    method: str
    dataset: str
    pair: str
    setting: str
    metric: str


class Spread(NamedTuple):
    """Lowest and highest figure that the sources of a cell give."""

    low: float
    high: float


def load_figures(path: Path | None = None) -> list[Figure]:
    """Every published figure in the package, or in another file of its format.

    Raises:
        IntegrityError: The file has other columns, or a value that is no finite number.
    """
    path = path or assets_folder() / "published" / "figures.csv"
    return [_figure(row, f"{path}, line {line}") for line, row in _read_rows(path, COLUMNS)]


def load_sources(path: Path | None = None) -> dict[str, Source]:
    """Every source of figures in the package, or in another file of its format, by key.

    Raises:
        IntegrityError: The file has other columns.
    """
    path = path or assets_folder() / "published" / "sources.csv"
    columns = tuple(field.name for field in dataclasses.fields(Source))
    return {
        row["paper"]: Source(
            row["paper"], row["kind"], tuple(filter(None, row["own_methods"].split("; "))), row["reference"]
        )
        for _, row in _read_rows(path, columns)
    }


def cell_of(figure: Figure) -> Cell | None:
    """The cell that a figure is compared in.

    Nothing for times, deviations and the like, for unknown networks, and for issue threads, where one person tells
    of one attempt.
    """
    metric = _COMPARED_AS.get(figure.metric)
    if metric is None or figure.kind == "issue" or not (figure.teacher or figure.student):
        return None
    return Cell(figure.method, figure.dataset, figure.pair, figure.setting, metric)


def disagreements(figures: Iterable[Figure]) -> dict[Figure, Spread]:
    """The figures of cells in which two sources are more than a point apart, with the range of the cell.

    A best epoch and a last one are not compared with each other; one of which nothing is said is compared with both.
    """
    cells: dict[Cell, list[Figure]] = defaultdict(list)
    for figure in figures:
        cell = cell_of(figure)
        if cell is not None:
            cells[cell].append(figure)
    found: dict[Figure, Spread] = {}
    for members in cells.values():
        for epochs in _COMPARABLE_EPOCHS:
            compared = [figure for figure in members if figure.epoch in epochs]
            if _apart(compared):
                for figure in compared:
                    found[figure] = _wider(found.get(figure), [other.value for other in compared])
    return found


def _apart(figures: list[Figure]) -> bool:
    """Whether two of different sources are more than a point from each other."""
    ends: dict[str, Spread] = {}
    for figure in figures:
        ends[figure.paper] = _wider(ends.get(figure.paper), [figure.value])
    return any(
        round(one.high - other.low, 6) > POINT
        for key, one in ends.items()
        for rest, other in ends.items()
        if key != rest
    )


def _wider(spread: Spread | None, values: list[float]) -> Spread:
    every = [*values, *(spread or ())]
    return Spread(min(every), max(every))


def _read_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line number and cells of each row of a CSV file.

    Raises:
        IntegrityError: It has other columns, or a row has more or fewer cells.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != columns:
            raise IntegrityError(f"{path} must have the columns {', '.join(columns)}.")
        for row in reader:
            if None in row or None in row.values():
                raise IntegrityError(f"{path}, line {reader.line_num}: the row must have {len(columns)} cells.")
            yield reader.line_num, row


def _figure(row: Mapping[str, str], where: str) -> Figure:
    try:
        numbers = {
            "value": float(row["value"]),
            "teacher_accuracy": float(row["teacher_accuracy"]) if row["teacher_accuracy"] else None,
            "scratch_accuracy": float(row["scratch_accuracy"]) if row["scratch_accuracy"] else None,
            "seeds": int(row["seeds"]) if row["seeds"] else None,
            "records": int(row["records"]),
        }
    except ValueError as error:
        raise IntegrityError(f"{where}: {error}") from None
    if not all(math.isfinite(number) for number in numbers.values() if number is not None):
        raise IntegrityError(f"{where}: a number is not finite.")
    return Figure(**{**row, **numbers})  # type: ignore[arg-type]

"""Makes the published figures of the package from collected records.

    python tools/published/convert.py RECORDS.csv ... --out dfkdbench/assets/published/figures.csv

Records are CSV files with the columns of `RECORD_COLUMNS`, one claimed number a line, as read from a paper, a README, a
log or an issue. They are spelled as `names.toml` says, and records of one paper, method, data set, pair, metric and
value are merged: their texts stand in one cell, separated. Same records, same bytes. A source that `sources.csv` does
not describe, an unknown metric, two records that contradict each other and anything that is no plain text end the
conversion, and nothing is written.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import math
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dfkdbench.files import write_atomically
from dfkdbench.published import COLUMNS, SEPARATOR, Source, load_sources

RECORD_COLUMNS = (
    "paper",
    "method",
    "variant",
    "dataset",
    "teacher_arch",
    "student_arch",
    "metric",
    "value",
    "teacher_acc",
    "student_scratch_acc",
    "seeds",
    "source_url",
    "locator",
    "notes",
)
_KEY = ("paper", "method", "dataset", "teacher", "student", "metric", "epoch")
_TEXTS = ("reported_method", "variant", "source", "locator", "notes")
_FACTS = ("code_epoch", "teacher_accuracy", "scratch_accuracy", "seeds")
_NUMBERS = ("value", "teacher_accuracy", "scratch_accuracy", "seeds")

Row = dict[str, str]


class ConversionError(ValueError):
    """Records that can't become figures."""


@dataclasses.dataclass(frozen=True)
class Names:
    """What `names.toml` says; see its comments."""

    papers: dict[str, str]
    methods: dict[str, str]
    method_settings: dict[str, str]
    architectures: dict[str, str]
    metrics: dict[str, Sequence[str]]
    lists: dict[str, list[str]]
    corrections: list[dict[str, dict[str, str]]]


def load_names(path: Path) -> Names:
    """Reads `names.toml`."""
    content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return Names(**content)


def read_records(path: Path) -> list[Row]:
    """The records of one file.

    Raises:
        ConversionError: Other columns, a short or long row, or text that is not plain.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != RECORD_COLUMNS:
            raise ConversionError(f"{path.name} must have the columns {', '.join(RECORD_COLUMNS)}.")
        records = list(reader)
    for number, record in enumerate(records, start=1):
        if None in record or None in record.values():
            raise ConversionError(f"{path.name}, record {number}: not {len(RECORD_COLUMNS)} cells.")
        for column, text in record.items():
            if not text.isprintable() or SEPARATOR in text:
                raise ConversionError(f"{path.name}, record {number}: {column} is not plain text: {text!r}")
    return records


def to_figure(record: Row, names: Names, sources: dict[str, Source]) -> Row:
    """A record in the columns and names of the figures.

    Raises:
        ConversionError: An unknown source or metric, or a number that is none.
    """
    if record["metric"] not in names.metrics:
        raise ConversionError(f"Unknown metric '{record['metric']}' in {record}.")
    metric, epoch = names.metrics[record["metric"]]
    variant = record["variant"].strip()
    own_setting = "" if variant in names.lists["main_variants"] else variant
    settings = [names.method_settings.get(record["method"], ""), own_setting]
    figure = {
        "paper": names.papers.get(record["paper"], record["paper"]),
        "method": names.methods.get(record["method"], record["method"]),
        "reported_method": record["method"],
        "setting": ", ".join(filter(None, settings)),
        "variant": variant,
        "dataset": record["dataset"],
        "teacher": names.architectures.get(record["teacher_arch"], record["teacher_arch"]),
        "student": names.architectures.get(record["student_arch"], record["student_arch"]),
        "metric": metric,
        "epoch": epoch,
        "code_epoch": "",
        "value": record["value"],
        "teacher_accuracy": record["teacher_acc"],
        "scratch_accuracy": record["student_scratch_acc"],
        "seeds": record["seeds"],
        "source": record["source_url"],
        "locator": record["locator"],
        "notes": record["notes"],
        "records": "1",
    }
    for correction in names.corrections:
        if all(record[column] == text for column, text in correction["when"].items()):
            figure |= correction["set"]
    _check_numbers(figure)
    source = sources.get(figure["paper"])
    if source is None:
        raise ConversionError(f"sources.csv says nothing about '{figure['paper']}'.")
    figure["kind"] = source.kind
    own = "own" if figure["method"] in source.own_methods else "other"
    figure["claim"] = "reference" if figure["method"] in names.lists["references"] else own
    return figure


def merge(figures: Iterable[Row]) -> list[Row]:
    """One figure for all of one key and value, in the order of their keys.

    Raises:
        ConversionError: Two that say different things of one number's teacher, seeds or the like.
    """
    merged: dict[tuple[str | float, ...], Row] = {}
    for figure in figures:
        key: tuple[str | float, ...] = (*(figure[column] for column in _KEY), float(figure["value"]))
        merged[key] = _join(merged[key], figure) if key in merged else figure
    order = ("dataset", "teacher", "student", "method", "paper", "metric", "epoch")
    return sorted(merged.values(), key=lambda figure: (*(figure[name] for name in order), float(figure["value"])))


def to_csv(figures: Iterable[Row]) -> str:
    """The text of the file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(figures)
    return text.getvalue()


def convert(paths: Iterable[Path], names: Names, sources: dict[str, Source]) -> list[Row]:
    """The figures of all records in these files."""
    return merge(to_figure(record, names, sources) for path in paths for record in read_records(path))


def _check_numbers(figure: Row) -> None:
    for column in _NUMBERS:
        try:
            finite = not figure[column] or math.isfinite(float(figure[column]))
        except ValueError:
            finite = False
        if not finite or (column == "value" and not figure[column]):
            raise ConversionError(f"{column} is '{figure[column]}' in {figure}.")


def _join(first: Row, second: Row) -> Row:
    joined = dict(first)
    for column in _TEXTS:
        joined[column] = SEPARATOR.join(
            dict.fromkeys(filter(None, f"{first[column]}{SEPARATOR}{second[column]}".split(SEPARATOR)))
        )
    for column in _FACTS:
        one, other = first[column], second[column]
        same = one == other or (column in _NUMBERS and one and other and float(one) == float(other))
        if one and other and not same:
            raise ConversionError(f"{column} is '{one}' and '{other}' for the same figure: {first}")
        joined[column] = one or other
    joined["setting"] = first["setting"] if first["setting"] and second["setting"] else ""
    joined["records"] = str(int(first["records"]) + int(second["records"]))
    return joined


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make the published figures of the package from collected records.")
    parser.add_argument("records", type=Path, nargs="+", help="CSV files of records")
    parser.add_argument("--out", type=Path, required=True, help="the CSV file of figures to write")
    parser.add_argument("--names", type=Path, default=Path(__file__).parent / "names.toml", help="spellings")
    parser.add_argument("--sources", type=Path, help="CSV file of sources; the package's otherwise")
    chosen = parser.parse_args(arguments)
    try:
        figures = convert(chosen.records, load_names(chosen.names), load_sources(chosen.sources))
    except ConversionError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    write_atomically(chosen.out, to_csv(figures))
    counts = Counter(figure["kind"] for figure in figures)
    records = sum(int(figure["records"]) for figure in figures)
    print(f"{len(figures)} figures of {records} records: {dict(counts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`dfkdbench published`."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dfkdbench.cli import main
from dfkdbench.published import COLUMNS, load_figures

CELL = ("--dataset", "cifar10", "--pair", "resnet34:resnet18")


def invoke(*arguments: str) -> Result:
    done = CliRunner().invoke(main, ["published", *arguments])
    assert done.exit_code == 0, done.output
    return done


def rows_of(*arguments: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(invoke(*arguments, "--format", "json").stdout)
    return rows


def test_published__everything() -> None:
    rows = rows_of()
    assert len(rows) == len(load_figures())
    assert set(COLUMNS) | {"pair", "reference", "range_low", "range_high"} == set(rows[0])
    assert len(invoke().stdout.splitlines()) > len(rows)


def test_published__filters_add_up() -> None:
    rows = rows_of(*CELL, "--method", "dafl")
    assert {(row["dataset"], row["pair"], row["method"]) for row in rows} == {("cifar10", "resnet34:resnet18", "dafl")}
    (own,) = rows_of(*CELL, "--method", "dafl", "--paper", "dafl")
    assert (own["value"], own["claim"], own["teacher_accuracy"]) == (92.22, "own", 95.58)
    assert own["reference"].startswith("Chen et al.")
    assert "Table 3" in own["locator"]
    assert own["source"].startswith("https://")


def test_published__method_by_the_name_in_its_source_in_any_case() -> None:
    assert rows_of("--method", "DAFL") == rows_of("--method", "dafl")
    assert {row["method"] for row in rows_of("--method", "cmi-500")} == {"cmi"}


def test_published__range_where_sources_disagree_whatever_is_shown() -> None:
    (own,) = rows_of(*CELL, "--method", "dafl", "--paper", "dafl")
    assert (own["range_low"], own["range_high"]) == (88.5, 93.34)
    done = invoke(*CELL, "--method", "dafl", "--paper", "dafl")
    assert "88.50 to 93.34" in done.stdout
    assert "In cells where two sources are more than a point apart: 1." in done.stderr


def test_published__table_names_the_claims_source() -> None:
    lines = invoke(*CELL, "--method", "dafl").stdout.splitlines()
    assert lines[0].split("  ")[0] == "method"
    assert "data set" not in lines[0]
    assert "pair" not in lines[0]
    own = next(line for line in lines if "own method" in line)
    for text in ("92.22", "unspecified (code: best)", "95.58", "Table 3 of the paper"):
        assert text in own
    assert any("mmrazor (reproduction)" in line for line in lines)
    reported = lines[lines.index("Reported by") + 1 :]
    assert any(line.startswith("  dafl ") and "ICCV 2019" in line for line in reported)


def test_published__csv_has_every_field() -> None:
    rows = list(csv.DictReader(io.StringIO(invoke(*CELL, "--format", "csv").stdout)))
    assert len(rows) == len(rows_of(*CELL))
    assert {row["pair"] for row in rows} == {"resnet34:resnet18"}
    assert any(row["range_low"] for row in rows)
    assert any(not row["seeds"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message", "command"),
    [
        (
            ("--dataset", "cifar11"),
            "Unknown data set of published figures 'cifar11'. Did you mean 'cifar10",
            "datasets",
        ),
        (("--pair", "wrn40_2:wrn16_1"), "'wrn40_2:wrn16_1'. Did you mean 'wrn_40_2:wrn_16_1'?", "pairs"),
        (("--method", "dalf"), "'dalf'. Did you mean 'dafl'?", "methods"),
        (("--paper", "daffl"), "Unknown paper of published figures 'daffl'. Did you mean 'dafl'?", "papers"),
        (("--dataset", ""), "Unknown data set of published figures ''.", "datasets"),
    ],
)
def test_published__unknown_name(arguments: tuple[str, str], message: str, command: str) -> None:
    done = CliRunner().invoke(main, ["published", *arguments])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert f"List them with: dfkdbench published --list {command}" in done.stderr


@pytest.mark.parametrize("style", ["table", "csv", "json"])
def test_published__nothing_of_all_filters_is_said_and_no_error(style: str) -> None:
    done = invoke("--dataset", "mnist", "--method", "cmi", "--format", style)
    assert "No published figure is of all of these." in done.stderr
    if style == "json":
        assert json.loads(done.stdout) == []
    else:
        assert len(done.stdout.splitlines()) == (style == "csv")


@pytest.mark.parametrize(("listed", "key"), [("datasets", "dataset"), ("pairs", "pair"), ("methods", "method")])
def test_list__names_with_counts_that_are_valid_choices(listed: str, key: str) -> None:
    rows = rows_of("--list", listed)
    assert sum(row["figures"] for row in rows) == len(load_figures())
    assert len(rows_of(f"--{key}", rows[-1][key])) == rows[-1]["figures"]
    assert len(invoke("--list", listed).stdout.splitlines()) == len(rows) + 2


def test_list__papers_with_what_they_are_of_what_is_chosen() -> None:
    rows = rows_of("--list", "papers", *CELL)
    assert next(row for row in rows if row["paper"] == "dafl")["reference"].startswith("Chen et al.")
    assert "zskt_re" not in {row["paper"] for row in rows}


def test_published__prints_no_control_character() -> None:
    for style in ("table", "csv", "json"):
        assert all(line.isprintable() for line in invoke("--format", style).stdout.split("\n"))

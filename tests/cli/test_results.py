"""`dfkdbench results`: tables of records, whole ones only."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome

from dfkdbench.cli import main
from dfkdbench.descriptors import PUBLISHED, Tuning
from dfkdbench.records import FINAL_FIGURES, Result

MakeRecord = Callable[..., Result]
StoreRecord = Callable[..., None]

ACCURACIES = {0: 91.0, 1: 93.5, 2: 92.25}


@pytest.fixture
def runs(tmp_path: Path, make_record: MakeRecord, store_record: StoreRecord) -> Path:
    folder = tmp_path / "runs"
    for seed, accuracy in ACCURACIES.items():
        store_record(folder, make_record("toy", seed, accuracy))
    store_record(folder, make_record("toy", 3, None))
    store_record(folder, make_record("noise", 0, 85.0))
    return folder


def invoke(runs: Path, *arguments: str) -> Outcome:
    done = CliRunner().invoke(main, ["results", "--runs", str(runs), *arguments])
    assert done.exit_code == 0, done.output
    return done


def test_results__one_row_a_run_sorted(runs: Path) -> None:
    lines = invoke(runs).stdout.splitlines()
    assert lines[0].startswith("| plugin ")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [(row[0], row[4], row[6], row[7]) for row in rows] == [
        ("noise", "0", "finished", "85.00"),
        ("toy", "0", "finished", "91.00"),
        ("toy", "1", "finished", "93.50"),
        ("toy", "2", "finished", "92.25"),
        ("toy", "3", "diverged", "-"),
    ]


def test_results__every_format_has_every_run(runs: Path) -> None:
    found = json.loads(invoke(runs, "--format", "json").stdout)
    assert {row["run_id"] for row in found} == {path.name for path in runs.iterdir()}
    assert found[-1]["accuracy_final"] is None
    assert found[1]["student_sha256"] == "a" * 64
    rows = list(csv.DictReader(io.StringIO(invoke(runs, "--format", "csv").stdout)))
    assert [row["accuracy_final"] for row in rows] == ["85.0", "91.0", "93.5", "92.25", ""]
    assert set(rows[0]) == set(Result.model_fields) - {"evaluations"} | set(FINAL_FIGURES)
    latex = invoke(runs, "--format", "latex").stdout
    assert "\\toprule" in latex
    assert "lenet\\_s:lenet\\_xs" in latex
    assert len(invoke(runs, "--format", "plain").stdout.splitlines()) == 2 + len(found)


def figures(agreement: float, worst: int) -> dict[str, Any]:
    """Fields of a record with all figures."""
    evaluation = {
        **dict.fromkeys(("index", "student_steps", "student_samples", "teacher_queries", "seconds"), 0),
        "accuracy": 90.0,
        "calibration_error": 3.25,
        "worst_class_accuracy": 40.0,
        "worst_class": worst,
        "agreement": agreement,
        "sha256": "a" * 64,
    }
    images = {"synthetic_class_balance": 0.9, "synthetic_diversity": 1.1, "synthetic_frechet": 33.333}
    return {"evaluations": (evaluation,), "synthetic_images": 512, **images}


def table_of(lines: str) -> list[dict[str, str]]:
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_results__figures_of_runs_and_dashes_where_there_are_none(
    tmp_path: Path, make_record: MakeRecord, store_record: StoreRecord
) -> None:
    store_record(tmp_path, make_record("toy", 0, 90.0, **figures(91.5, 7)))
    store_record(tmp_path, make_record("older", 0, 85.0))
    older, new = table_of(invoke(tmp_path, "--columns", "figures").stdout)
    assert new["worst class %"] == "40.00 (class 7)"
    assert [new[name] for name in ("final %", "agreement %", "ECE %")] == ["90.00", "91.50", "3.25"]
    assert [new[name] for name in ("balance", "diversity", "Fréchet")] == ["0.90", "1.10", "33.3"]
    unknown = ("agreement %", "ECE %", "worst class %", "balance", "diversity", "Fréchet")
    assert [older[name] for name in unknown] == ["-"] * 6
    assert (older["final %"], older["last five %"]) == ("85.00", "85.00")


def test_results__figures_of_a_cell_are_means_of_the_seeds_that_have_them(
    tmp_path: Path, make_record: MakeRecord, store_record: StoreRecord
) -> None:
    store_record(tmp_path, make_record("toy", 0, 90.0, **figures(91.0, 7)))
    store_record(tmp_path, make_record("toy", 1, 90.0, **figures(94.0, 8)))
    store_record(tmp_path, make_record("toy", 2, 90.0))
    store_record(tmp_path, make_record("toy", 3, None, **figures(10.0, 8)))
    (row,) = table_of(invoke(tmp_path, "--by", "cell", "--columns", "figures").stdout)
    assert (row["seeds"], row["agreement %"], row["worst class %"], row["balance"]) == ("3", "92.50", "40.00", "0.90")


def test_results__by_cell_mean_deviation_and_failures(runs: Path) -> None:
    rows = json.loads(invoke(runs, "--by", "cell", "--format", "json").stdout)
    toy = next(row for row in rows if row["plugin"] == "toy")
    assert toy["accuracy_final_mean"] == pytest.approx(statistics.mean(ACCURACIES.values()))
    assert toy["accuracy_final_std"] == pytest.approx(statistics.stdev(ACCURACIES.values()))
    assert (toy["seeds"], toy["failures"]) == (3, 1)
    table = invoke(runs, "--by", "cell").stdout
    assert "92.25 ± 1.25" in table
    assert "| 85.00 " in table


def test_results__by_cell_never_averages_other_settings(
    runs: Path, make_record: MakeRecord, store_record: StoreRecord
) -> None:
    other = {"seed": 4, "plugin": "toy", "recipe": {"batch_size": 256}}
    store_record(runs, make_record("toy", 4, 50.0, variant="y"), other)
    rows = [
        row for row in json.loads(invoke(runs, "--by", "cell", "--format", "json").stdout) if row["plugin"] == "toy"
    ]
    assert sorted((row["seeds"], row["accuracy_final_mean"]) for row in rows) == [(1, 50.0), (3, 92.25)]
    assert len({row["settings"] for row in rows}) == 2


def test_results__by_cell_where_every_seed_failed(
    tmp_path: Path, make_record: MakeRecord, store_record: StoreRecord
) -> None:
    store_record(tmp_path, make_record("toy", 0, None))
    line = invoke(tmp_path, "--by", "cell").stdout.splitlines()[-1]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[6] == "-"
    assert cells[8:10] == ["0", "1"]


@pytest.mark.parametrize(("by", "rows"), [("run", 4), ("cell", 3)])
def test_results__says_whose_values_changed_and_how_presets_were_chosen(
    by: str, rows: int, tmp_path: Path, make_record: MakeRecord, store_record: StoreRecord
) -> None:
    here = Tuning("test accuracy", trials=3, cells=("digits lenet_s:lenet_xs",))
    for seed in (0, 1):
        store_record(tmp_path, make_record("toy", seed, 91.0, changed_settings=(), tuning=(PUBLISHED, here)))
    changed = make_record("toy", 0, 95.0, variant="y", changed_settings=("student.lr",), tuning=(PUBLISHED,))
    store_record(tmp_path, changed, {"seed": 0, "plugin": "toy", "recipe": {"batch_size": 7}})
    store_record(tmp_path, make_record("older", 0, 85.0))
    lines = invoke(tmp_path, "--by", by).stdout.splitlines()[2:]
    told = {tuple(cell.strip() for cell in line.strip("|").split("|")[-2:]) for line in lines}
    assert told == {("preset", "test accuracy here"), ("settings changed", "publication"), ("-", "-")}
    assert len(lines) == rows


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema_version": 99}', '{"run_id": "x"}', "null"], ids=lambda text: text or "empty"
)
def test_results__unreadable_record_is_told_and_not_fatal(content: str, runs: Path) -> None:
    (runs / "torn").mkdir()
    (runs / "torn" / "result.json").write_text(content, encoding="utf-8")
    done = invoke(runs, "--format", "json")
    assert len(json.loads(done.stdout)) == 5
    assert "Left out: " in done.stderr
    assert str(runs / "torn" / "result.json") in done.stderr


def test_results__unfinished_runs_are_counted(runs: Path) -> None:
    (runs / "started").mkdir()
    (runs / "started" / "plan.json").write_text("{}", encoding="utf-8")
    done = invoke(runs)
    assert "1 run(s) in" in done.stderr
    assert "started" not in done.stdout


@pytest.mark.parametrize("by", ["run", "cell"])
@pytest.mark.parametrize("style", ["github", "csv", "latex", "json", "plain"])
@pytest.mark.parametrize("columns", ["accuracy", "figures"])
def test_results__empty_folder(columns: str, style: str, by: str, tmp_path: Path) -> None:
    done = invoke(tmp_path, "--format", style, "--by", by, "--columns", columns)
    assert "There is no record in" in done.stderr
    if style == "json":
        assert json.loads(done.stdout) == []


def test_results__no_folder(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["results", "--runs", str(tmp_path / "none")])
    assert done.exit_code == 2
    assert "There is no runs folder" in done.stderr

"""`dfkdbench compare`: every table, what it refuses, and that it never mixes what must not be mixed."""

from __future__ import annotations

import csv
import io
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome

from dfkdbench.cli import main
from dfkdbench.records import Result

MakeRecord = Callable[..., Result]
StoreRecord = Callable[..., None]
Put = Callable[..., None]

TOY = {0: 91.0, 1: 93.5, 2: 92.25}
NOISE = {0: 80.0, 1: 82.0, 2: 81.5}


@pytest.fixture
def put(tmp_path: Path, make_record: MakeRecord, store_record: StoreRecord) -> Put:
    """Writes the records of a method's seeds in one cell into tmp_path/runs, beside plans that differ by method."""

    def write(plugin: str, scores: dict[int, float | None], variant: str = "x", **changes: Any) -> None:
        for seed, accuracy in scores.items():
            variation = "-".join([variant, *map(str, changes.values())]).replace(":", "_").replace("/", "_")
            result = make_record(plugin, seed, accuracy, variant=variation, **changes)
            store_record(tmp_path / "runs", result, {"seed": seed, "plugin": plugin, "variant": variant})

    return write


@pytest.fixture
def runs(tmp_path: Path, put: Put) -> Path:
    put("toy", {**TOY, 3: None})
    put("noise", {**NOISE, 4: 50.0})
    return tmp_path / "runs"


def invoke(*arguments: object, code: int = 0) -> Outcome:
    done = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def report(*arguments: object) -> dict[str, Any]:
    (found,) = json.loads(invoke(*arguments, "--format", "json").stdout)
    return found


def table_of(text: str, title: str) -> list[list[str]]:
    """The cells of the table below a title, split where two spaces are; empty cells are gone."""
    lines = text.split(title)[1].splitlines()[1:]
    rows = lines[2 : lines.index("") if "" in lines else None]
    return [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]


def test_table__cells_differences_and_outcomes(runs: Path) -> None:
    shown = invoke(runs).stdout
    assert shown.startswith("protocol 2026.1, budget quick, league soft-labels\n")
    place = ["digits", "lenet_s:lenet_xs", "bbbbbbbb"]
    assert table_of(shown, "Accuracy at the end of the budget") == [
        [*place, "noise", "soft-labels", "4", "73.38 ± 24.83", "-"],
        [*place, "toy", "soft-labels", "3", "92.25 ± 3.11", "1 of 4: seed 3 diverged"],
    ]
    left_out = "seed 3: noise has no record and toy diverged; seed 4: toy has no record"
    assert table_of(shown, "Paired differences") == [
        [*place, "noise", "toy", "3", "-11.08 ± 0.95", "loss", left_out],
    ]
    assert table_of(shown, "Cells won, tied and lost") == [["noise", "toy", "0", "0", "1", "0"]]
    assert "- All means are over finished seeds" in shown
    assert "Differences are from the best of each cell" in shown
    assert "No ranks. Friedman's test compares 3 or more methods" in shown
    assert "Aggregates" not in shown


def test_json__whole_figures(runs: Path) -> None:
    found = report(runs, "--baseline", "noise")
    assert (found["protocol"], found["budget"], found["league"]) == ("2026.1", "quick", "soft-labels")
    toy = next(row for row in found["cells"] if row["method"] == "toy")
    assert toy["value"] == pytest.approx(statistics.mean(TOY.values()))
    assert toy["half_width"] == pytest.approx(4.302653 * statistics.stdev(TOY.values()) / 3**0.5)
    assert (toy["n"], toy["seeds"], toy["failures"]) == (3, [0, 1, 2], {"3": "diverged"})
    (pair,) = found["paired"]
    assert (pair["method"], pair["against"], pair["outcome"]) == ("toy", "noise", "win")
    assert pair["value"] == pytest.approx(statistics.mean(TOY[seed] - NOISE[seed] for seed in TOY))
    assert found["outcomes"] == [
        {"method": "toy", "against": "noise", "wins": 1, "ties": 0, "losses": 0, "undecided": 0}
    ]
    assert (found["ranks"], found["rank_test"], found["aggregates"]) == ([], None, [])


def test_csv__all_tables_in_one(runs: Path, put: Put) -> None:
    put("toy", TOY, dataset="mnist")
    put("noise", NOISE, dataset="mnist")
    rows = list(csv.DictReader(io.StringIO(invoke(runs, "--format", "csv").stdout)))
    assert [row["table"] for row in rows] == ["cells"] * 4 + ["paired"] * 2 + ["outcomes"] + ["aggregates"] * 6
    assert {row["league"] for row in rows} == {"soft-labels"}
    toy = next(row for row in rows if row["method"] == "toy")
    assert (float(toy["value"]), toy["n"], toy["failures"]) == (92.25, "3", "seed 3 diverged")
    assert rows[4]["left_out"] == "seed 3: noise has no record and toy diverged; seed 4: toy has no record"
    assert (rows[6]["losses"], rows[6]["wins"]) == ("2", "0")
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in rows[7:])


def test_one_seed__no_interval_and_said_so(tmp_path: Path, put: Put) -> None:
    put("toy", {0: 92.0})
    put("noise", {0: 80.0})
    shown = invoke(tmp_path / "runs").stdout
    (noise, toy) = table_of(shown, "Accuracy at the end of the budget")
    assert noise[5:] == ["1", "80.00", "-", "one seed: no interval; fewer than 3 seeds"]
    assert toy[6] == "92.00"
    (pair,) = table_of(shown, "Paired differences")
    assert pair[5:] == ["1", "-12.00", "undecided", "one common seed: no interval", "-"]


@pytest.mark.parametrize(
    ("ours", "theirs", "note"),
    [
        ({0: 90.0, 1: 91.0}, {0: 80.0, 1: 81.5}, "fewer than 3 common seeds"),
        ({0: 90.0, 1: 91.0, 2: 92.0}, {0: 89.5, 1: 90.5, 2: 91.5}, "below a point: the protocol asks for 5 seeds"),
        ({0: 90.0, 1: 91.0, 2: 92.0}, {0: 80.5, 1: 90.5, 2: 91.5}, ""),
        ({0: 90.0}, {1: 80.0}, "no common seed"),
    ],
)
def test_paired__notes_on_too_few_seeds(
    ours: dict[int, float], theirs: dict[int, float], note: str, tmp_path: Path, put: Put
) -> None:
    put("toy", ours)
    put("noise", theirs)
    assert report(tmp_path / "runs")["paired"][0]["note"] == note


def test_failed_everywhere__is_a_row(tmp_path: Path, put: Put) -> None:
    put("toy", {0: None, 1: None})
    put("noise", {0: 80.0, 1: 81.0})
    (noise, toy) = table_of(invoke(tmp_path / "runs").stdout, "Accuracy at the end of the budget")
    assert noise[3] == "noise"
    assert toy[5:] == ["0", "-", "2 of 2: seeds 0, 1 diverged", "no seed finished"]


@pytest.mark.parametrize("change", [{"league": "features"}, {"budget": "paper"}, {"protocol": "2027.1"}], ids=str)
def test_groups__are_never_compared(change: dict[str, str], tmp_path: Path, put: Put) -> None:
    put("toy", TOY)
    put("noise", NOISE, **change)
    found = json.loads(invoke(tmp_path / "runs", "--format", "json", "--baseline", "noise").stdout)
    assert len(found) == 2
    for group in found:
        assert (group["paired"], group["outcomes"], len(group["cells"])) == ([], [], 1)
        assert group["notes"] == ["One method: there is nothing to compare it with in this group."]


def test_baseline__of_another_group_is_said(runs: Path, put: Put) -> None:
    put("mine", TOY, league="features")
    put("other", NOISE, league="features")
    features, _ = json.loads(invoke(runs, "--format", "json", "--baseline", "noise").stdout)
    assert features["paired"] == []
    assert features["notes"][0] == (
        "The baseline noise has no record in this group, so there are no differences from it."
    )


def test_other_settings__stand_for_themselves(runs: Path, put: Put) -> None:
    put("toy", {0: 50.0, 1: 51.0}, variant="y")
    names = [row["method"] for row in report(runs)["cells"]]
    assert [name.partition("#")[0] for name in names] == ["noise", "toy", "toy"]
    shown = CliRunner().invoke(main, ["results", "--runs", str(runs), "--by", "cell", "--format", "json"]).stdout
    settings = {row["settings"] for row in json.loads(shown) if row["plugin"] == "toy"}
    assert {name.partition("#")[2] for name in names[1:]} == settings
    done = invoke(runs, "--baseline", "toy", code=2)
    assert done.stderr == f"Error: There are several settings of 'toy'. Give one of: {names[1]}, {names[2]}.\n"
    found = report(runs, "--baseline", names[1])
    assert {(row["method"], row["against"]) for row in found["paired"]} == {("noise", names[1]), (names[2], names[1])}


def eight(put: Put) -> None:
    for number in range(8):
        for name, by in (("noise", 0.0), ("toy", 8.0), ("third", 4.0)):
            put(name, {seed: 70.0 + number + seed + by for seed in range(3)}, dataset=f"data{number}")


def test_changed_settings__are_marked(runs: Path, put: Put) -> None:
    put("tuned", {0: 95.0, 1: 96.0, 2: 97.0}, changed_settings=("student.lr", "replay"))
    put("tuned_and_failed", {0: None}, changed_settings=("replay",))
    notes = {row["method"]: row["note"] for row in report(runs)["cells"]}
    assert notes["tuned"] == "settings changed: student.lr, replay"
    assert notes["tuned_and_failed"] == "no seed finished; settings changed: replay"
    assert notes["toy"] == ""


def test_eight_tasks__aggregates_ranks_and_diagram(tmp_path: Path, put: Put) -> None:
    eight(put)
    put("late", TOY, dataset="data3")
    target = tmp_path / "ranks.svg"
    done = invoke(tmp_path / "runs", "--diagram", target)
    assert table_of(done.stdout, "Average ranks") == [["toy", "1.00"], ["third", "2.00"], ["noise", "3.00"]]
    aggregates = table_of(done.stdout, "Aggregates over cells")
    assert [row[0] for row in aggregates] == ["noise", "third", "toy"]
    assert aggregates[0][1].startswith("74.50 [")
    assert "at 3 seeds a cell, the fewest here, such an interval covers about 89 % at best" in done.stdout
    assert "Friedman chi-squared 16.00, p 0.00034: the methods differ at level 0.05." in done.stdout
    assert "Not in aggregates and ranks: late, no result on data0 lenet_s:lenet_xs" in done.stdout
    assert done.stderr == f"Wrote {target}: protocol 2026.1, budget quick, league soft-labels\n"
    root = ElementTree.parse(target).getroot()
    assert [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")] == [
        "Average ranks of accuracy: protocol 2026.1, budget quick, league soft-labels"
    ]
    found = report(tmp_path / "runs")
    assert [row["value"] for row in found["ranks"]] == [1.0, 2.0, 3.0]
    assert found["rank_test"]["critical_difference"] == pytest.approx(2.343 * (12 / 48) ** 0.5, rel=1e-3)
    assert found["rank_test"]["groups"] == [["toy", "third"], ["third", "noise"]]


def test_diagram__one_for_each_group(tmp_path: Path, put: Put) -> None:
    eight(put)
    for number in range(8):
        for name, accuracy in (("a", 90.0), ("b", 91.0), ("c", 89.0)):
            put(name, {0: accuracy}, dataset=f"data{number}", league="features+real/samples")
    invoke(tmp_path / "runs", "--diagram", tmp_path / "ranks.svg")
    assert {path.name for path in tmp_path.glob("*.svg")} == {
        "ranks-2026.1-quick-soft-labels.svg",
        "ranks-2026.1-quick-features+real_samples.svg",
    }


def test_diagram__refused_below_eight_after_the_tables(runs: Path, put: Put, tmp_path: Path) -> None:
    put("third", NOISE)
    done = invoke(runs, "--diagram", tmp_path / "ranks.svg", code=2)
    assert "Accuracy at the end of the budget" in done.stdout
    group = "protocol 2026.1, budget quick, league soft-labels"
    assert done.stderr.startswith(f"Error: No diagram is drawn. ({group}) Friedman's test takes 8 or more tasks")
    assert not list(tmp_path.glob("*.svg"))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("ranks.png", "give a file that ends in .svg, such as ranks.svg"),
        ("none/ranks.svg", "There is no folder"),
        ("folder.svg", "is a folder"),
    ],
)
def test_diagram__target_is_checked_before_any_work(target: str, message: str, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.svg").mkdir()
    done = invoke(runs, "--diagram", tmp_path / target, code=2)
    assert message in done.stderr
    assert done.stdout == ""


def test_baseline__unknown_names_the_nearest(runs: Path) -> None:
    done = invoke(runs, "--baseline", "nois", code=2)
    assert done.stderr.startswith(
        "Error: Unknown method 'nois'. Did you mean 'noise'? There are: noise, toy. List them with: dfkdbench results"
    )


def test_runs__single_folders_and_several_roots(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "copy")
    chosen = sorted(runs.glob("toy-*"))[:2]
    found = report(*chosen, *runs.glob("noise-*"), *(tmp_path / "copy").glob("noise-*"))
    assert [(row["method"], row["n"]) for row in found["cells"]] == [("noise", 4), ("toy", 2)]


def test_runs__the_default_is_the_folder_runs(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs.parent)
    assert len(report()["cells"]) == 2


def test_runs__what_cannot_be_read_or_is_not_done_is_told(runs: Path) -> None:
    for name in ("torn", "started"):
        (runs / name).mkdir()
        (runs / name / "plan.json").write_text("{}", encoding="utf-8")
    (runs / "torn" / "result.json").write_text("{", encoding="utf-8")
    done = invoke(runs, "--format", "json")
    assert len(json.loads(done.stdout)[0]["cells"]) == 2
    assert f"Left out: {runs / 'torn' / 'result.json'} is no whole JSON file" in done.stderr
    assert "1 run(s) in" in done.stderr
    done = invoke(runs / "torn", runs / "started", *runs.glob("toy-*"))
    assert f"Left out: {runs / 'torn' / 'result.json'}" in done.stderr
    assert f"Left out: Can't read {runs / 'started' / 'result.json'}" in done.stderr


def test_runs__same_seed_with_two_numbers_is_refused(
    runs: Path, tmp_path: Path, make_record: MakeRecord, store_record: StoreRecord
) -> None:
    plan = {"seed": 0, "plugin": "toy", "variant": "x"}
    store_record(tmp_path / "other", make_record("toy", 0, 12.0), plan)
    done = invoke(runs, tmp_path / "other", code=2)
    assert "Seed 0 of toy on digits, lenet_s:lenet_xs is there twice" in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize("exists", [True, False])
def test_runs__nothing_to_compare(exists: bool, tmp_path: Path) -> None:
    if exists:
        (tmp_path / "runs").mkdir()
    done = invoke(tmp_path / "runs", code=2)
    assert ("There is no record to compare in" if exists else "There is no runs folder") in done.stderr


def test_compare__imports_neither_torch_nor_pandas(runs: Path) -> None:
    code = "import sys; from dfkdbench.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "compare", str(runs)], capture_output=True, text=True, check=True
    )
    assert "Paired differences" in done.stdout
    assert not {"torch", "pandas", "torchvision"} & set(done.stdout.splitlines()[-1].split())

"""From collected records to published figures: `tools/published/convert.py`."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dfkdbench.published import load_figures, load_sources

TOOL = Path(__file__).parent.parent / "tools" / "published" / "convert.py"

RECORD = {
    "paper": "cmi",
    "method": "DAFL",
    "variant": "",
    "dataset": "cifar10",
    "teacher_arch": "wrn40_2",
    "student_arch": "wrn16_1",
    "metric": "acc_unspecified",
    "value": "65.71",
    "teacher_acc": "94.87",
    "student_scratch_acc": "91.12",
    "seeds": "",
    "source_url": "https://example.org/readme",
    "locator": "Results",
    "notes": "",
}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("published_convert", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def write(path: Path, *records: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(RECORD))
        writer.writeheader()
        writer.writerows(RECORD | record for record in records)
    return path


def figures_of(tool: ModuleType, tmp_path: Path, *records: dict[str, str]) -> list[Any]:
    out = tmp_path / "figures.csv"
    assert tool.main([str(write(tmp_path / "records.csv", *records)), "--out", str(out)]) == 0
    return load_figures(out)


def test_convert__spells_names_as_the_suite_does(tool: ModuleType, tmp_path: Path) -> None:
    (figure,) = figures_of(tool, tmp_path, {})
    assert (figure.method, figure.reported_method) == ("dafl", "DAFL")
    assert figure.pair == "wrn_40_2:wrn_16_1"
    assert (figure.metric, figure.epoch, figure.claim, figure.kind) == ("accuracy", "unspecified", "other", "paper")


@pytest.mark.parametrize(
    ("record", "claim"),
    [
        ({"method": "CMI"}, "own"),
        ({"method": "DAFL"}, "other"),
        ({"method": "student scratch"}, "reference"),
        ({"method": "teacher"}, "reference"),
    ],
)
def test_convert__says_whose_method_it_is(record: dict[str, str], claim: str, tool: ModuleType, tmp_path: Path) -> None:
    (figure,) = figures_of(tool, tmp_path, record)
    assert figure.claim == claim


def test_convert__unknown_names_stay(tool: ModuleType, tmp_path: Path) -> None:
    (figure,) = figures_of(tool, tmp_path, {"method": "Novel", "student_arch": "tinynet", "dataset": "birds"})
    assert (figure.method, figure.student, figure.dataset) == ("Novel", "tinynet", "birds")


def test_convert__merges_records_of_one_figure_and_keeps_all_they_say(tool: ModuleType, tmp_path: Path) -> None:
    first = {"value": "94.10", "locator": "Table 1", "teacher_acc": "", "notes": "seen"}
    second = {"value": "94.1", "locator": "Table 1 | README"} | {"locator": "README", "notes": "seen", "seeds": "3"}
    (figure,) = figures_of(tool, tmp_path, first, second)
    assert (figure.records, figure.value, figure.locator, figure.notes) == (2, 94.1, "Table 1 | README", "seen")
    assert (figure.teacher_accuracy, figure.seeds) == (94.87, 3)
    assert "94.10" in (tmp_path / "figures.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "other",
    [
        {"paper": "dafl"},
        {"method": "ZSKT"},
        {"dataset": "svhn"},
        {"student_arch": "wrn16_2"},
        {"metric": "acc_best"},
        {"value": "65.72"},
    ],
    ids=lambda record: next(iter(record)),
)
def test_convert__keeps_different_figures_apart(other: dict[str, str], tool: ModuleType, tmp_path: Path) -> None:
    assert len(figures_of(tool, tmp_path, {}, other)) == 2


def test_convert__setting_is_what_is_not_the_main_result(tool: ModuleType, tmp_path: Path) -> None:
    records = [{"variant": "half the steps", "value": "1"}, {"variant": "BN prior", "value": "2"}]
    found = figures_of(tool, tmp_path, *records, {"method": "Fast-5", "value": "3"})
    assert {figure.value: figure.setting for figure in found} == {1: "half the steps", 2: "", 3: "5 steps"}


def test_convert__a_figure_that_is_also_the_main_result_has_no_setting(tool: ModuleType, tmp_path: Path) -> None:
    (figure,) = figures_of(tool, tmp_path, {"variant": "quick start"}, {})
    assert (figure.setting, figure.variant) == ("", "quick start")


def test_convert__corrections(tool: ModuleType, tmp_path: Path) -> None:
    segmentation, kept = {"dataset": "camvid"}, {"notes": "last iteration, not best, per released code"}
    means = [{"paper": paper, "metric": "acc_mean", "value": "70"} for paper in ("cudfkd", "dfad")]
    found = figures_of(tool, tmp_path, segmentation, kept, *means)
    assert [f.metric for f in found if f.dataset == "camvid"] == ["miou"]
    assert [f.code_epoch for f in found if f.notes] == ["last"]
    metrics = {f.paper: (f.metric, f.epoch) for f in found if f.value == 70}
    assert metrics == {"cudfkd": ("accuracy", "every"), "dfad": ("accuracy_mean", "unspecified")}


def test_convert__same_bytes_in_whatever_order_records_stand(tool: ModuleType, tmp_path: Path) -> None:
    records = [{"value": str(value), "method": method} for value in (3, 1, 2) for method in ("ZSKT", "DAFL")]
    figures_of(tool, tmp_path, *records)
    first = (tmp_path / "figures.csv").read_bytes()
    figures_of(tool, tmp_path, *reversed(records))
    assert (tmp_path / "figures.csv").read_bytes() == first
    assert b"\r" not in first


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"paper": "nobody"}], "sources.csv says nothing about 'nobody'"),
        ([{"metric": "acc_guess"}], "Unknown metric 'acc_guess'"),
        ([{"value": "nan"}], "value is 'nan'"),
        ([{"value": ""}], "value is ''"),
        ([{"teacher_acc": "high"}], "teacher_accuracy is 'high'"),
        ([{"notes": "a\x1b[31mb"}], "record 1: notes is not plain text"),
        ([{}, {"notes": "a\nb"}], "record 2: notes is not plain text"),
        ([{"notes": "a | b"}], "record 1: notes is not plain text"),
        ([{"seeds": "3"}, {"seeds": "5"}], "seeds is '3' and '5' for the same figure"),
        ([{}, {"teacher_acc": "95.0"}], "teacher_accuracy is '94.87' and '95.0'"),
    ],
)
def test_convert__refuses_and_writes_nothing(
    records: list[dict[str, str]],
    message: str,
    tool: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "figures.csv"
    assert tool.main([str(write(tmp_path / "records.csv", *records)), "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_convert__refuses_other_columns(tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "records.csv").write_text("paper,value\ncmi,1\n", encoding="utf-8")
    assert tool.main([str(tmp_path / "records.csv"), "--out", str(tmp_path / "figures.csv")]) == 2
    assert "records.csv must have the columns paper, method" in capsys.readouterr().err


def test_names__lead_to_methods_of_the_suite_and_to_known_sources(tool: ModuleType) -> None:
    names = tool.load_names(TOOL.parent / "names.toml")
    assert set(names.papers.values()) <= set(load_sources())
    folders = {folder.name for folder in (TOOL.parents[2] / "plugins").iterdir()}
    own = {name for name in names.methods.values() if name.islower()}
    more = {"cdfkd", "adaptive_deepinversion", "scratch", "real-data", "noise", "teacher"}
    assert own <= folders | more

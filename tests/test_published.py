"""Published figures: the packaged data, and which of them disagree."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dfkdbench.datasets.specs import DATASETS
from dfkdbench.errors import IntegrityError
from dfkdbench.models.specs import MODELS
from dfkdbench.places import assets_folder
from dfkdbench.published import (
    CLAIMS,
    COLUMNS,
    EPOCHS,
    KINDS,
    METRICS,
    SEPARATOR,
    Figure,
    Spread,
    cell_of,
    disagreements,
    load_figures,
    load_sources,
)

FOLDER = assets_folder() / "published"
FIGURES = load_figures()
SOURCES = load_sources()


def figure(paper: str, value: float, **changes: Any) -> Figure:
    values: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    values |= {"paper": paper, "kind": "paper", "claim": "other", "method": "toy", "dataset": "digits", "value": value}
    values |= {"teacher": "lenet_s", "student": "lenet_xs", "metric": "accuracy", "epoch": "unspecified", "records": 1}
    return Figure(**values | {"teacher_accuracy": None, "scratch_accuracy": None, "seeds": None} | changes)


def ranges(*figures: Figure) -> dict[str, Spread]:
    return {figure.paper: spread for figure, spread in disagreements(figures).items()}


def test_figures__every_record_of_the_collections_is_in_one_of_them() -> None:
    assert 750 <= len(FIGURES) <= 800
    assert sum(figure.records for figure in FIGURES) == 1045


def test_figures__each_says_what_it_is_and_where_it_is_from() -> None:
    for figure in FIGURES:
        assert all((figure.paper, figure.method, figure.reported_method, figure.dataset, figure.locator)), figure
        assert any(source.startswith("https://") for source in figure.source.split(SEPARATOR)), figure
        assert figure.metric in METRICS
        assert figure.epoch in EPOCHS
        assert figure.claim in CLAIMS
        assert figure.kind == SOURCES[figure.paper].kind
        assert (figure.claim == "own") <= (figure.method in SOURCES[figure.paper].own_methods)
        assert figure.code_epoch in ("best", "last", "")
        assert (figure.epoch == "") == (figure.metric in ("time_hours", "memory_mb"))


def test_figures__are_in_the_range_of_their_metric() -> None:
    for figure in FIGURES:
        assert 0 <= figure.value <= (100 if figure.metric.startswith(("accuracy", "miou")) else 20_000), figure
        assert all(0 < accuracy <= 100 for accuracy in (figure.teacher_accuracy, figure.scratch_accuracy) if accuracy)
        assert figure.seeds is None or 1 <= figure.seeds <= 10


def test_figures__no_two_are_the_same() -> None:
    keys = Counter((f.paper, f.method, f.dataset, f.pair, f.metric, f.epoch, f.value) for f in FIGURES)
    assert [key for key, count in keys.items() if count > 1] == []


def test_figures__suite_has_one_spelling_of_what_it_knows() -> None:
    known = {spec.name for spec in (*DATASETS, *MODELS)}
    squeezed = {name.replace("_", "") for name in known}
    for name in {name for figure in FIGURES for name in (figure.dataset, figure.teacher, figure.student)}:
        assert name in known or name.replace("_", "").lower() not in squeezed, name
    assert {"cifar10", "cifar100", "svhn", "mnist", "imagenet"} <= {figure.dataset for figure in FIGURES}
    assert {"resnet34:resnet18", "wrn_40_2:wrn_16_1", "vgg11:resnet18", "lenet5:lenet5_half"} <= {
        figure.pair for figure in FIGURES
    }


def test_sources__are_described_and_used() -> None:
    assert set(SOURCES) == {figure.paper for figure in FIGURES}
    for source in SOURCES.values():
        assert source.kind in KINDS
        assert source.reference
        assert (source.kind == "paper") == bool(source.own_methods)
        assert set(source.own_methods) <= {figure.method for figure in FIGURES}, source


def test_files__are_plain_text_without_private_paths_or_formulas() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {"README.md", "figures.csv", "sources.csv"}
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="ascii")
        assert all(line.isprintable() for line in text.removesuffix("\n").split("\n")), path
        assert not re.findall(r"(?:^|[\s,\"(|])(?:file:|~?/)[\w.-]+/", text), path
    cells = [str(getattr(figure, column)) for figure in FIGURES for column in COLUMNS]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]


def test_readme__describes_every_column_and_counts() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [column for column in COLUMNS if f"`{column}`" not in text] == []
    assert f"{len(FIGURES)} in all" in text


def test_figures__a_few_as_their_sources_print_them() -> None:
    found = {(f.paper, f.dataset, f.pair, f.claim, f.metric, f.epoch, f.value) for f in FIGURES}
    assert ("dafl", "cifar10", "resnet34:resnet18", "own", "accuracy", "unspecified", 92.22) in found
    assert ("fast", "imagenet", "resnet50:resnet50", "own", "accuracy", "last", 68.536) in found
    assert ("zskt", "cifar10", "wrn_16_2:wrn_16_1", "own", "accuracy_mean", "unspecified", 82.44) in found
    assert ("dfad", "nyuv2", "deeplabv3_resnet50:-", "reference", "miou", "unspecified", 51.7) in found
    assert ("cudfkd", "cifar10", "resnet34:resnet18", "other", "accuracy", "every", 62.6) in found


def test_disagreements__more_than_a_point_between_two_sources() -> None:
    assert ranges(figure("a", 90.0), figure("b", 91.5)) == {"a": Spread(90.0, 91.5), "b": Spread(90.0, 91.5)}
    assert ranges(figure("a", 90.0), figure("b", 91.0)) == {}
    assert ranges(figure("a", 76.01), figure("b", 77.01)) == {}  # in binary a hair more than a point


def test_disagreements__range_holds_every_source_of_the_cell() -> None:
    found = ranges(figure("a", 90.0), figure("b", 90.5), figure("c", 92.0))
    assert set(found) == {"a", "b", "c"}
    assert set(found.values()) == {Spread(90.0, 92.0)}


def test_disagreements__one_source_does_not_disagree_with_itself() -> None:
    assert ranges(figure("a", 80.0), figure("a", 90.0)) == {}
    assert ranges(figure("a", 80.0), figure("a", 80.9), figure("b", 80.4)) == {}
    assert ranges(figure("a", 80.0), figure("a", 90.0), figure("b", 85.0))["b"] == Spread(80.0, 90.0)


@pytest.mark.parametrize(
    "other",
    [
        {"method": "other"},
        {"dataset": "mnist"},
        {"student": "lenet_s"},
        {"teacher": "lenet5"},
        {"setting": "half the steps"},
        {"metric": "miou"},
        {"metric": "accuracy_std"},
        {"kind": "issue"},
    ],
    ids=lambda changes: next(iter(changes)) + " " + next(iter(changes.values())),
)
def test_disagreements__only_within_a_cell(other: dict[str, Any]) -> None:
    assert ranges(figure("a", 90.0), figure("b", 50.0, **other)) == {}


def test_disagreements__nothing_about_times_or_unknown_networks() -> None:
    for same in ({"metric": "time_hours", "epoch": ""}, {"teacher": "", "student": ""}, {"metric": "accuracy_std"}):
        assert ranges(figure("a", 90.0, **same), figure("b", 50.0, **same)) == {}
        assert cell_of(figure("a", 90.0, **same)) is None
    assert ranges(figure("a", 90.0, student=""), figure("b", 50.0, student="")) != {}


@pytest.mark.parametrize(
    ("one", "other", "comparable"),
    [
        ("best", "best", True),
        ("best", "last", False),
        ("best", "unspecified", True),
        ("last", "unspecified", True),
        ("every", "every", True),
        ("every", "unspecified", False),
        ("every", "best", False),
    ],
)
def test_disagreements__compare_like_epochs(one: str, other: str, comparable: bool) -> None:
    assert bool(ranges(figure("a", 90.0, epoch=one), figure("b", 80.0, epoch=other))) == comparable


def test_disagreements__mean_over_runs_is_compared_with_one_run() -> None:
    assert ranges(figure("a", 90.0, metric="accuracy_mean"), figure("b", 80.0)) != {}


def test_disagreements__best_and_last_each_with_the_unspecified() -> None:
    best, last = figure("a", 92.0, epoch="best"), figure("b", 88.0, epoch="last")
    found = ranges(best, last, figure("c", 90.0))
    assert found == {"a": Spread(90.0, 92.0), "b": Spread(88.0, 90.0), "c": Spread(88.0, 92.0)}


def test_disagreements__of_the_data() -> None:
    found = disagreements(FIGURES)
    cells = {cell_of(figure) for figure in found}
    assert 25 <= len(cells) <= 35
    by_source = {
        figure.paper: spread
        for figure, spread in found.items()
        if cell_of(figure) == ("dafl", "cifar10", "resnet34:resnet18", "", "accuracy")
    }
    assert {"dafl", "dfad", "cmi", "mmrazor"} <= set(by_source)
    assert set(by_source.values()) == {Spread(88.5, 93.34)}


def write(path: Path, *rows: dict[str, Any], columns: tuple[str, ...] = COLUMNS) -> Path:
    blank = dict.fromkeys(COLUMNS, "") | {"value": "1", "records": "1"}
    lines = [",".join(str(cell) for cell in (blank | row).values()) for row in rows]
    path.write_text("\n".join([",".join(columns), *lines]) + "\n", encoding="utf-8")
    return path


def test_load_figures__reads_numbers_and_their_absence(tmp_path: Path) -> None:
    (found,) = load_figures(write(tmp_path / "f.csv", {"value": "94.10", "seeds": "3", "teacher_accuracy": "99"}))
    assert (found.value, found.seeds, found.teacher_accuracy, found.scratch_accuracy) == (94.1, 3, 99.0, None)
    assert found.pair == "-:-"


@pytest.mark.parametrize("row", [{"value": "nan"}, {"value": ""}, {"value": "x"}, {"seeds": "1.5"}, {"notes": "a,b"}])
def test_load_figures__refuses_what_is_no_figure(row: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="line 3"):
        load_figures(write(tmp_path / "f.csv", {}, row))


def test_load_figures__refuses_other_columns(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="must have the columns paper, kind"):
        load_figures(write(tmp_path / "f.csv", columns=("paper", "value")))

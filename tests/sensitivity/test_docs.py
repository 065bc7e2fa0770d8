"""The study in docs/sensitivity.md: its tables follow from the runs that lie beside it."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dfkdbench.sensitivity.figures import FIGURES, MethodStudy, Outcome, lines, summary, verdict
from dfkdbench.sensitivity.plot import in_words
from dfkdbench.statistics.intervals import Interval

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "sensitivity.md").read_text(encoding="utf-8")


def study_of(method: str, rows: list[dict[str, str]]) -> MethodStudy:
    mine = [row for row in rows if row["method"] == method]
    settings = {row["setting"]: float(row["preset_value"]) for row in mine if row["setting"] != "preset"}
    base: dict[int, Outcome] = {}
    varied: dict[int, dict[tuple[str, float], Outcome]] = {}
    for row in mine:
        outcome = Outcome(float(row["accuracy"]), row["failure"], row["run_id"], float(row["seconds"]))
        if row["setting"] == "preset":
            base[int(row["seed"])] = outcome
        else:
            varied.setdefault(int(row["seed"]), {})[row["setting"], float(row["factor"])] = outcome
    factors = tuple(sorted({float(row["factor"]) for row in mine}))
    return MethodStudy(method, mine[0]["league"], settings, factors, base, varied)


@pytest.fixture(scope="module")
def studies() -> list[MethodStudy]:
    rows = list(csv.DictReader((DOCS / "sensitivity-digits.csv").read_text(encoding="utf-8").splitlines()))
    assert len({row["run_id"] for row in rows}) == len(rows)
    return [study_of(method, rows) for method in dict.fromkeys(row["method"] for row in rows)]


def shown(interval: Interval, name: str) -> str:
    decimals, scale = {"area": (3, 1.0), "failure_rate": (1, 100.0)}.get(name, (1, 1.0))
    return f"{scale * interval.mean:.{decimals}f} ± {scale * float(interval.half_width or 0):.{decimals}f}"


def test_page__has_every_figure_of_every_method(studies: list[MethodStudy]) -> None:
    for study in studies:
        figures = summary(study)
        cells = " | ".join(shown(figures[name], name) for name in FIGURES)
        assert f"| `{study.method}` | {cells} |" in PAGE


def test_page__has_every_point_of_every_setting(studies: list[MethodStudy]) -> None:
    for study in studies:
        for line in lines(study):
            points = " | ".join(f"{accuracy:.1f}" for accuracy in line.points.values())
            ends = f"{line.range:.1f} | {line.area:.3f} | {line.failures} of {line.runs}"
            assert f"| `{study.method}` | `{line.setting}` | {line.value:g} | {points} | {ends} |" in PAGE


def test_page__says_what_the_data_carry(studies: list[MethodStudy]) -> None:
    assert verdict(*studies) in re.sub(r"\s+", " ", PAGE)


def test_drawing__is_of_these_runs(studies: list[MethodStudy]) -> None:
    assert "(sensitivity-digits.svg)" in PAGE
    root = ElementTree.parse(DOCS / "sensitivity-digits.svg").getroot()
    words = root.find("{http://www.w3.org/2000/svg}desc")
    assert words is not None
    assert words.text == in_words(studies)

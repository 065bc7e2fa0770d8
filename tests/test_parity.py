"""Parity tables: what a plugin's README calls measured is in a record under leaderboards/, and every plugin has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dfkdbench.boards.entries import LARGEST
from dfkdbench.records import Result, find_results

ROOT = Path(__file__).parents[1]
READMES = sorted(ROOT.glob("plugins/*/README.md"))
HEADING = "## Parity\n"
COLUMNS = ["method, cell", "published", "official code against its paper", "measured here", "why they differ"]
MEASURED = re.compile(r"(?P<figures>[\d.]+(?:, [\d.]+)*) \(`(?P<budget>\w+)`, seeds? (?P<seeds>\d+(?:, \d+)*)")
CELL = re.compile(r"`(?P<plugin>\w+)(?P<rest>[^`]*)`[^`,]*, (?P<dataset>\w+) `(?P<pair>\w+:\w+)`")


def rows_of(readme: Path) -> list[dict[str, str]]:
    """Rows of the first table below the heading, by column."""
    _, _, section = readme.read_text(encoding="utf-8").partition(HEADING)
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]
    assert cells, f"{readme} has no table under {HEADING!r}"
    assert cells[0] == COLUMNS, f"{readme}: {cells[0]}"
    return [dict(zip(COLUMNS, row, strict=True)) for row in cells[2:]]


def records() -> list[Result]:
    found: list[Result] = []
    for entries in sorted(ROOT.glob("leaderboards/*/entries")):
        results, problems = find_results(entries)
        assert not problems
        found += results
    return found


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.parent.name)
def test_parity__every_measured_figure_is_in_a_record(readme: Path) -> None:
    known = {
        (one.plugin, one.dataset, one.pair, one.budget, one.seed, f"{one.accuracy_final:.{digits}f}")
        for one in records()
        if one.accuracy_final is not None
        for digits in (1, 2)
    }
    measured = 0
    for row in rows_of(readme):
        assert all(row.values()), f"empty cell in {row}"
        if row["measured here"].startswith("not run"):
            continue
        cell, claim = CELL.match(row["method, cell"]), MEASURED.match(row["measured here"])
        assert cell, row
        assert claim, row
        figures, seeds = claim["figures"].split(", "), map(int, claim["seeds"].split(", "))
        for figure, seed in zip(figures, seeds, strict=True):
            assert (cell["plugin"], cell["dataset"], cell["pair"], claim["budget"], seed, figure) in known, row
            measured += 1
    assert measured >= 3, "at least three seeds of one cell"


def test_records__are_finished_and_named_after_their_run() -> None:
    found = records()
    assert found
    assert all(one.status == "finished" for one in found)
    assert len({one.run_id for one in found}) == len(found)
    for folder in ROOT.glob("leaderboards/*/entries/*"):
        present = {path.name for path in folder.iterdir()}
        assert {"plan.json", "result.json"} <= present <= set(LARGEST)
        assert find_results(folder.parent)[0]
        assert f'"run_id": "{folder.name}"' in (folder / "result.json").read_text(encoding="utf-8")

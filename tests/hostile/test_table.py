"""docs/hostile-plugins.md and the folder of plugins say the same."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_table__has_a_line_for_every_cheat_in_the_folder_and_no_other(table: ModuleType) -> None:
    cheats = [
        f"{file.stem}.{node.name}"
        for file in (HERE / "plugins").glob("*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    helpers = {"acts_in_the_judge.knowing"}  # an architecture, named by what brings it
    assert set(cheats) - helpers == set(table.rows())


def test_table__every_line_is_whole_and_stands_once(table: ModuleType) -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    assert len(re.findall(r"^\| `", page, re.MULTILINE)) == len(table.rows())
    for row in table.rows().values():
        assert row.outcome in table.OUTCOMES, row
        assert row.what, row
        assert row.why, row
        assert row.outcome != "detected" or re.search(r"\blevel [0-3]\b", row.why), row


def test_table__every_line_is_held_by_a_test_that_says_its_outcome(table: ModuleType) -> None:
    """The fixture `say` then holds it to what happens."""
    sources: dict[str, str] = {}
    for file in HERE.glob("test_*.py"):
        text = file.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef):
                sources[node.name] = ast.get_source_segment(text, node) or ""
    for row in table.rows().values():
        assert f'"{row.outcome}")' in sources[row.test], row


def test_counts__are_those_of_the_table(table: ModuleType) -> None:
    done = subprocess.run([sys.executable, str(HERE / "table.py")], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == table.counts()
    tried, *others = map(int, re.findall(r"\d+", done.stdout))
    assert tried == sum(others) == len(table.rows())


def test_page__states_no_count_of_its_own(table: ModuleType) -> None:
    before, _, _ = table.PAGE.read_text(encoding="utf-8").partition("| attempt |")
    assert not re.search(r"\b(tried|stopped|detected|documented)\W+\d|\d+ (stopped|detected|documented)", before)


def test_threat_model__leads_to_the_page() -> None:
    assert "(hostile-plugins.md)" in (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")

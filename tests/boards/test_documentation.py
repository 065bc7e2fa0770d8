"""docs/leaderboards.md: its links, its example, and every command of the group."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from dfkdbench.cli.leaderboard import leaderboard

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "leaderboards.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", leaderboard.commands)
def test_command__is_documented_with_its_options(name: str) -> None:
    usages = re.findall(rf"dfkdbench leaderboard {name} [^`\n]*", TEXT)
    assert usages
    options = [option for option in leaderboard.commands[name].params if isinstance(option, click.Option)]
    missing = [flag for option in options for flag in option.opts if not any(flag in usage for usage in usages)]
    assert missing == []


def test_links__lead_to_files() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert targets
    assert all((ROOT / "docs" / target).exists() for target in targets)


def test_example__runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    best = names["best"]
    assert isinstance(best, dict)
    assert best["digits-lenet_s-lenet_xs-standard", "input-gradients"] == "rdskd"

"""The boards of this repository: what lies there is what its entries give, and its commands make its rows again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dfkdbench.boards.assembly import all_problems, load_board, read_contents
from dfkdbench.boards.model import Row
from dfkdbench.boards.writing import stale_outputs
from dfkdbench.cli import main
from dfkdbench.files import canonical_json

ROOT = Path(__file__).parents[2] / "leaderboards"
BOARDS = sorted(path.parent.name for path in ROOT.glob("*/leaderboard.toml"))
DIGITS = [row for table in load_board(ROOT / "digits").tables for row in table.rows]


def test_boards__that_there_are() -> None:
    assert BOARDS == ["cifar10", "digits", "mnist", "svhn"]


@pytest.mark.parametrize("name", BOARDS)
def test_board__holds_and_is_built(name: str) -> None:
    assert all_problems(read_contents(ROOT / name)) == []
    assert stale_outputs(ROOT / name, load_board(ROOT / name)) == [], f"dfkdbench leaderboard build leaderboards/{name}"


@pytest.mark.parametrize("name", BOARDS)
def test_board__ranks_nothing_that_was_not_measured_often_enough(name: str) -> None:
    for table in load_board(ROOT / name).tables:
        assert all(len(row.scores) >= 3 for row in table.rows if row.rank is not None)
        assert table.pinned or not table.rows
        assert all(row.plain_known for row in table.rows)


def asked_for(plan: dict[str, Any]) -> str:
    """What a command decides of a plan; the engine, for one, may be another version's."""
    keys = ("plugin", "input", "pair", "teachers", "budget", "seed", "device", "recipe")
    return canonical_json([plan[key] for key in keys])


@pytest.mark.parametrize("row", DIGITS, ids=lambda row: f"{row.method} {row.key}")
def test_command__makes_the_rows_runs(row: Row) -> None:
    words = shlex.split(row.command)
    assert words[0] == "dfkdbench"
    done = CliRunner().invoke(main, [*words[1:], "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    folders = [ROOT / "digits" / "entries" / each.run_id for each in (*row.scores, *row.failures)]
    recorded = [json.loads((folder / "plan.json").read_text(encoding="utf-8")) for folder in folders]
    assert sorted(map(asked_for, json.loads(done.stdout))) == sorted(map(asked_for, recorded))

"""Every output of a small board, to the byte.

Where a change is meant, `python -P tests/boards/test_golden.py` writes the outputs anew; read their difference then.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.claims import Literature
from dfkdbench.boards.model import Board
from dfkdbench.boards.outputs import OUTPUTS
from dfkdbench.published import load_figures, load_sources

GOLDEN = Path(__file__).parent / "golden"


def golden_board() -> Board:
    literature = Literature(load_figures(GOLDEN / "figures.csv"), load_sources(GOLDEN / "sources.csv"))
    return load_board(GOLDEN, literature)


@pytest.mark.parametrize("name", OUTPUTS)
def test_golden__output(name: str) -> None:
    assert OUTPUTS[name](golden_board()) == (GOLDEN / name).read_text(encoding="utf-8")


def test_golden__shows_every_kind_of_row() -> None:
    board = golden_board()
    rows = [row for table in board.tables for row in table.rows]
    assert {row.unranked for row in rows} == {"", "control", "needs 3 seeds"}
    assert {row.verified for row in rows} == {"none", "L1"}
    assert all(any(getattr(row, name) for row in rows) for name in ("failures", "claims", "settings", "thumbnail"))
    assert {len(table.rankings) for table in board.tables} == {0, 2}
    assert {table.pinned for table in board.tables} == {True, False}
    assert board.tables[0].effects
    assert board.left_out


if __name__ == "__main__":
    for output, write in OUTPUTS.items():
        (GOLDEN / output).write_text(write(golden_board()), encoding="utf-8")

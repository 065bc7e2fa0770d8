"""Builds a board's files and says which of them are not those of its entries."""

from __future__ import annotations

from pathlib import Path

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.definition import FILE, read_definition
from dfkdbench.boards.model import Board
from dfkdbench.boards.outputs import OUTPUTS
from dfkdbench.files import exclusive_lock, write_atomically


def build(folder: Path) -> Board:
    """Writes a board's outputs beside its rules; equal entries give equal bytes.

    Raises:
        ConfigError: There is no board, or its rules have a mistake.
        RunError: Another build of it is running, or the folder can't be written.
    """
    read_definition(folder)
    busy = f"Another build of {folder} is running. Run the same command again when it is done."
    with exclusive_lock(folder / FILE, busy):
        board = load_board(folder)
        for name, write in OUTPUTS.items():
            write_atomically(folder / name, write(board))
    return board


def stale_outputs(folder: Path, board: Board) -> list[str]:
    """Names of the outputs that are missing, or that are not what `build` makes of these entries."""
    return [name for name, write in OUTPUTS.items() if _text_of(folder / name) != write(board)]


def _text_of(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None

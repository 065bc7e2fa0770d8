"""A board's outputs: a page, tables in Markdown, CSV and LaTeX, and the whole model as JSON.

Each lays out what is computed.
"""

from __future__ import annotations

from collections.abc import Callable

from dfkdbench.boards.model import Board
from dfkdbench.boards.outputs.latex import latex
from dfkdbench.boards.outputs.markdown import markdown
from dfkdbench.boards.outputs.page.document import page
from dfkdbench.boards.outputs.plain import data_json, results_csv

OUTPUTS: dict[str, Callable[[Board], str]] = {
    "index.html": page,
    "README.md": markdown,
    "results.csv": results_csv,
    "results.tex": latex,
    "data.json": data_json,
}
"""File name -> what writes its text."""

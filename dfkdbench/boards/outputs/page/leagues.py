"""How the rows of a league look all over a page: colour, shape of the mark and dash of the line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dfkdbench.boards.model import Board, Row
from dfkdbench.boards.outputs.page.markup import Markup, element
from dfkdbench.boards.outputs.page.palette import LEAGUES

_SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-4.8L4.6 3.6H-4.6z",
    "M0-5L5 0L0 5L-5 0z",
    "M0 4.8L4.6-3.6H-4.6z",
    "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
)
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 2", "1 2")
_REFERENCE_SHAPE = "M-3.4-3.4L3.4 3.4M3.4-3.4L-3.4 3.4"

_SEEN: Mapping[str, str] = {
    "none": "nothing of the teacher",
    "hard-labels": "the classes that the teacher names",
    "soft-labels": "the teacher's class probabilities",
    "input-gradients": "gradients through the teacher to its input",
    "features": "the teacher's inner features",
    "batch-norm": "the teacher's batch-norm statistics",
    "final-layer": "the weights of the teacher's final layer",
    "class-names": "the names of the classes",
    "external-prior": "knowledge from outside the teacher",
    "real-samples": "real samples",
}


@dataclass(frozen=True)
class Look:
    """The look of a league, or of what has none: controls.

    Attributes:
        class_: CSS class that sets the colour.
        shape: SVG path of the mark around 0, 0.
        dash: SVG dash array of its lines; empty for a line without gaps.
    """

    class_: str
    shape: str
    dash: str

    def mark(self, x: float, y: float) -> Markup:
        """The mark at a place of a plot."""
        return element("path", class_=f"mark {self.class_}", d=self.shape, transform=f"translate({x:.1f} {y:.1f})")

    def swatch(self) -> Markup:
        """The mark as a picture of its own, for text."""
        return element(
            "svg", self.mark(7, 7), class_="swatch", viewBox="0 0 14 14", width=14, height=14, aria_hidden="true"
        )


REFERENCE = Look("reference", _REFERENCE_SHAPE, "1 3")


def looks_of(board: Board) -> dict[str, Look]:
    """Every league of a board with its look, in order of appearance."""
    names = dict.fromkeys(ranking.league for table in board.tables for ranking in table.rankings)
    return {
        name: Look(f"league-{index % LEAGUES}", _SHAPES[index % len(_SHAPES)], _DASHES[index % len(_DASHES)])
        for index, name in enumerate(names)
    }


def look_of(row: Row, looks: Mapping[str, Look]) -> Look:
    """The look of a row: its league's, or that of the controls."""
    return REFERENCE if row.control else looks[row.league]


def filter_key(row: Row) -> str | None:
    """What filters know a row by; they never hide a control."""
    return None if row.control else row.key


def seen_in(league: str) -> str:
    """What methods of a league may see, in words."""
    known = [_SEEN[word] for word in league.split("+") if word in _SEEN]
    return f"may see {' and '.join(known)}" if known else ""


def in_order(looks: Mapping[str, Look], leagues: Iterable[str]) -> list[tuple[str, Look]]:
    """The looks of some leagues, in the board's order."""
    wanted = set(leagues)
    return [(league, look) for league, look in looks.items() if league in wanted]

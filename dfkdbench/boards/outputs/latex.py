"""Rankings as LaTeX tables with booktabs."""

from __future__ import annotations

from tabulate import tabulate

from dfkdbench.boards.model import Board, Ranking, Row, Table
from dfkdbench.boards.outputs import layout

_COLUMNS = ("Rank", "Method", "Seeds", "Accuracy %", "Worst drop", "Failures", "Teacher queries", "Seconds")
_ALIGNMENT = ("left", "left", "right", "left", "right", "left", "right", "right")
_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
)


def latex(board: Board) -> str:
    """One table environment for each ranking; it needs the package booktabs."""
    parts = [f"% {_text(board.title)}: protocol {board.protocol}. Needs \\usepackage{{booktabs}}.", ""]
    for table in board.tables:
        rankings = table.rankings or ((Ranking(league="", rows=()),) if table.controls else ())
        for ranking in rankings:
            parts += _environment(board, table, ranking)
    return "\n".join(parts)


def _environment(board: Board, table: Table, ranking: Ranking) -> list[str]:
    rows = [_teacher(teacher.name, teacher.accuracy) for teacher in table.teachers]
    rows += [_row(row) for row in (*table.controls, *ranking.rows)]
    body = tabulate(rows, headers=_COLUMNS, tablefmt="latex_booktabs", disable_numparse=True, colalign=_ALIGNMENT)
    league = f"league {ranking.league}" if ranking.league else "controls"
    caption = (
        f"{_text(table.title)}, {_text(league)}: accuracy at the end of the budget, mean and half-width of "
        "the 95\\,\\% t interval over seeds. Teachers and controls have no rank, nor have rows below "
        f"{board.minimum_seeds} seeds."
    )
    return [
        "\\begin{table}",
        f"\\caption{{{caption}}}",
        f"\\label{{tab:{table.key}-{ranking.league or 'controls'}}}",
        body.replace("±", "$\\pm$"),
        "\\end{table}",
        "",
    ]


def _teacher(name: str, accuracy: float) -> tuple[str, ...]:
    dash = layout.NOTHING
    return (dash, f"teacher {name}", dash, layout.number(accuracy), dash, dash, dash, dash)


def _row(row: Row) -> tuple[str, ...]:
    return (
        layout.rank(row),
        row.method,
        str(len(row.scores)),
        layout.interval(row.mean, row.half_width),
        layout.number(row.worst_drop),
        layout.failures(row),
        layout.number(row.teacher_queries, 0),
        layout.number(row.seconds, 0),
    )


def _text(text: str) -> str:
    return text.translate(_SPECIAL)

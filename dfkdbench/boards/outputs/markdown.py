"""The page that a code host shows for a board's folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tabulate import tabulate

from dfkdbench.boards.model import Board, Ranking, Row, Table
from dfkdbench.boards.outputs import layout
from dfkdbench.boards.outputs.escape import markdown_code, markdown_text

_COLUMNS = (
    *("rank", "method", "seeds", "accuracy %", "best on test % (never ranked)", "worst drop", "variance", "seconds"),
    *("teacher queries", "replay bytes", "memory MB", "failures", "verified", "published"),
)
_MOST_LEFT_OUT = 50


def markdown(board: Board) -> str:
    """Headings, a table for each ranking, and below the tables how their rows were made."""
    lines = [f"# {markdown_text(board.title)}", ""]
    if board.description:
        lines += [board.description.strip(), ""]
    lines += [*_how_to_read(board), ""]
    for table in board.tables:
        lines += _table(table)
    if board.left_out:
        lines += _left_out(board)
    return "\n".join(lines).rstrip() + "\n"


def _how_to_read(board: Board) -> Iterator[str]:
    yield (
        f"Protocol {board.protocol}; {board.entries} runs. Accuracy is that at the end of the budget: mean ± "
        "half-width of the 95 % t interval over finished seeds. It alone ranks, inside a league: leagues differ in "
        f"what a method may see of the teacher. Rows below {board.minimum_seeds} finished seeds have no rank, nor have "
        "teachers and controls, which stand in every table. A method whose seeds fail looks better by the others' mean "
        "than it is: see `failures`. `published` are claims of papers on this data set and pair, with their own "
        "teachers, budgets and often their best epoch. † marks rows whose settings were changed by who ran them."
    )
    yield ""
    yield (
        "Built by `dfkdbench leaderboard build` from `leaderboard.toml`, `entries/` and `methods/`; every figure is in "
        "`results.csv` and `data.json`."
    )


def _table(table: Table) -> Iterator[str]:
    yield f"## {markdown_text(table.title)}"
    yield ""
    if not table.pinned:
        yield "Not pinned yet: no teacher, and so no entry."
        yield ""
    elif not table.rows:
        yield "No entry yet."
        yield ""
    for ranking in table.rankings or ((Ranking(league="", rows=()),) if table.controls else ()):
        yield f"### {'League ' + ranking.league if ranking.league else 'Controls'}"
        yield ""
        yield _ranking(table, ranking)
        yield ""
    yield from _facts(table)
    yield from _effects(table)
    yield from _failures(table.rows)
    yield from _claims(table)
    yield from _commands(table)


def _ranking(table: Table, ranking: Ranking) -> str:
    blank = [layout.NOTHING] * (len(_COLUMNS) - 4)
    rows = [
        ["teacher", markdown_code(teacher.name), layout.NOTHING, layout.number(teacher.accuracy), *blank]
        for teacher in table.teachers
    ]
    rows += [_row(row) for row in (*table.controls, *ranking.rows)]
    return _pipe_table(_COLUMNS, rows)


def _row(row: Row) -> list[str]:
    return [
        layout.rank(row) if row.rank is not None else row.unranked,
        markdown_code(row.method) + (" †" if row.settings else ""),
        str(len(row.scores)),
        layout.interval(row.mean, row.half_width),
        layout.number(row.oracle),
        layout.number(row.worst_drop),
        layout.number(row.variance),
        layout.number(row.seconds, 0),
        layout.number(row.teacher_queries, 0),
        layout.number(row.replay_bytes, 0),
        layout.number(row.peak_memory_mb, 0),
        markdown_text(layout.failures(row)),
        row.verified,
        layout.claimed(row.claims),
    ]


def _facts(table: Table) -> Iterator[str]:
    budget = table.budget
    facts = []
    if table.teachers:
        teachers = ", ".join(f"{markdown_code(each.name)} ({each.sha256[:12]})" for each in table.teachers)
        facts.append(f"Teacher{'s' if len(table.teachers) > 1 else ''}: {teachers}.")
    if budget.student_samples:
        facts.append(
            f"Budget {budget.name}: {budget.student_samples:,} student samples, {budget.evaluations} evaluations."
        )
    if table.rows:
        hardware = layout.hardware(table.rows)
        which = " (`results.csv` says which row)" if len(hardware) > 1 else ""
        facts.append(f"Hardware: {markdown_text('; '.join(hardware))}{which}.")
        if table.absent_controls:
            facts.append(f"Controls that were not run: {', '.join(map(markdown_code, table.absent_controls))}.")
    if facts:
        yield " ".join(facts)
        yield ""


def _effects(table: Table) -> Iterator[str]:
    if not table.effects:
        return
    yield "### What one part does"
    yield ""
    yield (
        "Rows of one league that differ in exactly one part: difference of the final accuracy in points, paired by "
        "seed; mean ± half-width of the 95 % t interval. An interval that contains 0 shows no effect."
    )
    yield ""
    rows = [
        [
            markdown_code(layout.exchange(effect)),
            effect.league,
            layout.interval(effect.mean, effect.half_width),
            str(len(effect.seeds)),
            ", ".join(markdown_code(pair.before) for pair in effect.pairs),
        ]
        for effect in table.effects
    ]
    yield _pipe_table(("part", "league", "difference", "seeds", "on"), rows)
    yield ""


def _failures(rows: Iterable[Row]) -> Iterator[str]:
    failed = [(row, failure) for row in rows for failure in row.failures]
    if not failed:
        return
    yield "### Failures"
    yield ""
    cells = [
        [markdown_code(row.method), str(failure.seed), failure.status, markdown_text(failure.error)]
        for row, failure in failed
    ]
    yield _pipe_table(("method", "seed", "status", "reason"), cells)
    yield ""


def _claims(table: Table) -> Iterator[str]:
    if not table.claims:
        return
    yield "### Published, not measured here"
    yield ""
    rows = [
        [
            markdown_code(claim.method),
            markdown_text(claim.setting) or layout.NOTHING,
            layout.number(claim.value),
            markdown_text(claim.epoch) or layout.NOTHING,
            layout.number(claim.teacher_accuracy),
            markdown_code(claim.paper),
            markdown_text(claim.locator),
            f"{claim.range_low:.2f} to {claim.range_high:.2f}" if claim.range_low is not None else layout.NOTHING,
        ]
        for claim in table.claims
    ]
    headers = ("method", "setting", "accuracy %", "epoch", "teacher %", "reported by", "where", "sources disagree")
    yield _pipe_table(headers, rows)
    yield ""


def _commands(table: Table) -> Iterator[str]:
    if not table.rows:
        return
    yield "### Commands that make these rows"
    yield ""
    yield from (f"    {row.command}" for row in table.rows)
    yield ""


def _left_out(board: Board) -> Iterator[str]:
    yield "## Left out"
    yield ""
    for found in board.left_out[:_MOST_LEFT_OUT]:
        yield f"- {markdown_code(found.entry)}: {markdown_text(found.message)}"
    if len(board.left_out) > _MOST_LEFT_OUT:
        yield f"- and {len(board.left_out) - _MOST_LEFT_OUT} more; `dfkdbench leaderboard check` lists them."
    yield ""


def _pipe_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text: str = tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)
    return text

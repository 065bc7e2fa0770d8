"""Entries to a board. A pure function: no clock, no host, no installed plugin; equal entries give equal boards."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfkdbench.boards.admission import CONTROL_NAMES, admit, is_control, order_of
from dfkdbench.boards.claims import Literature
from dfkdbench.boards.definition import Cell, Definition, Tier, read_definition
from dfkdbench.boards.effects import marginal_effects
from dfkdbench.boards.entries import Entry, Problem, scan_entries
from dfkdbench.boards.methods import MethodKey, read_plain_methods
from dfkdbench.boards.model import Board, Budget, LeftOut, Ranking, Row, Table, Teacher
from dfkdbench.boards.rows import group_entries, make_row
from dfkdbench.descriptors import PRIORS, TEACHER_ACCESS


@dataclass(frozen=True)
class Contents:
    """What lies in a board's folder, read once.

    Attributes:
        entries: Those that hold in themselves.
        problems: What does not, and why.
        plain: Plain recipes of methods.
    """

    definition: Definition
    entries: Sequence[Entry]
    problems: Sequence[Problem]
    plain: Mapping[MethodKey, Mapping[str, Any]]


def read_contents(folder: Path) -> Contents:
    """Everything in a board's folder that a board is made of.

    Raises:
        ConfigError: There is no board, or its rules have a mistake. Entries that don't hold are told in the contents.
    """
    definition = read_definition(folder)
    entries, problems = scan_entries(folder)
    plain, unread = read_plain_methods(folder)
    return Contents(definition, entries, [*problems, *unread], plain)


def load_board(folder: Path, literature: Literature | None = None) -> Board:
    """The board in a folder, computed from its rules, its entries and its methods' plain settings.

    Args:
        literature: Published figures to show beside; those of the package otherwise.

    Raises:
        ConfigError: As `read_contents`.
    """
    return assemble(read_contents(folder), literature or Literature.packaged())


def all_problems(contents: Contents, now: datetime.datetime | None = None) -> list[Problem]:
    """Everything in a board that counts for nothing, and why; with `now` also what was finished later than that."""
    _, refused = admit(contents.definition, contents.entries, now)
    return _by_entry([*contents.problems, *refused])


def _by_entry(problems: Sequence[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.entry, problem.message))


def assemble(contents: Contents, literature: Literature) -> Board:
    """A board from what lies in its folder."""
    definition = contents.definition
    admission, refused = admit(definition, contents.entries)
    taken = admission.taken
    left_out = _by_entry([*contents.problems, *refused])
    tables = [_table(contents, literature, cell, tier, taken.get(key, [])) for key, cell, tier in order_of(definition)]
    return Board(
        schema=1,
        name=definition.name,
        title=definition.title,
        description=definition.description,
        protocol=definition.protocol,
        minimum_seeds=definition.minimum_seeds,
        ranking=definition.ranking,
        league=definition.league,
        entries=sum(map(len, taken.values())),
        tables=tuple(tables),
        left_out=tuple(LeftOut(entry=problem.entry, message=problem.message) for problem in left_out),
    )


def _table(contents: Contents, literature: Literature, cell: Cell, tier: Tier, entries: Sequence[Entry]) -> Table:
    claims = literature.claims_of(cell.dataset, cell.pair)
    groups = group_entries(entries, contents.plain)
    rows = [make_row(group, contents.definition.minimum_seeds, claims) for group in groups]
    controls = sorted((row for row in rows if row.control), key=_control_order)
    return Table(
        key=_key(contents.definition, cell, tier),
        title=f"{cell.title}, {tier.name}",
        dataset=cell.dataset,
        pair=cell.pair,
        budget=Budget(**tier.model_dump()),
        pinned=not cell.is_open,
        teachers=tuple(Teacher(**teacher.model_dump()) for teacher in cell.teachers),
        rankings=_rankings([row for row in rows if not row.control]),
        controls=tuple(controls),
        absent_controls=tuple(name for name in CONTROL_NAMES if name not in {row.plugin for row in controls}),
        effects=marginal_effects([group for group in groups if not is_control(group.plan)]),
        claims=claims,
    )


def _key(definition: Definition, cell: Cell, tier: Tier) -> str:
    """A table's address; of several cells with one pair all but the first carry the hash of their teachers."""
    words = [cell.dataset, *cell.pair.split(":"), tier.name]
    if definition.cells_of(cell.dataset, cell.pair)[0] is not cell:
        words += [hash_[:8] for hash_ in cell.hashes]
    return "-".join(words)


def _rankings(rows: Sequence[Row]) -> tuple[Ranking, ...]:
    leagues = sorted({row.league for row in rows}, key=_league_order)
    return tuple(
        Ranking(league=league, rows=_ranked([row for row in rows if row.league == league])) for league in leagues
    )


def _ranked(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows of a league with their ranks; then those without one, the best first, and last those without a result."""
    ordered = sorted(rows, key=_best_first)
    ranked: list[Row] = []
    for row in ordered:
        if row.unranked:
            continue
        shares = bool(ranked) and _figure(ranked[-1]) == _figure(row)
        ranked.append(row.model_copy(update={"rank": ranked[-1].rank if shares else len(ranked) + 1}))
    return (*ranked, *(row for row in ordered if row.unranked))


def _best_first(row: Row) -> tuple[bool, float, str, str]:
    return row.mean is None, -_figure(row), row.method, row.key


def _figure(row: Row) -> float:
    """What ranks, without the last digits, which the order of a sum decides."""
    return round(row.mean or 0.0, 6)


def _control_order(row: Row) -> tuple[int, str, str]:
    return CONTROL_NAMES.index(row.plugin), row.method, row.key


def _league_order(league: str) -> tuple[int, int, str]:
    """From the least that is seen of the teacher to the most; those with knowledge from elsewhere last."""
    seen, *priors = league.replace("-", "_").split("+")
    access = TEACHER_ACCESS.index(seen) if seen in TEACHER_ACCESS else -1
    return len(priors) + (seen in PRIORS), access, league

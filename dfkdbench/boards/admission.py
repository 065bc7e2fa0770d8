"""Which entries a board takes: those of its cells, teachers, budgets and league, each seed of a row once."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Sequence

from dfkdbench.boards.definition import EVERY, FILE, Cell, Definition, Tier
from dfkdbench.boards.entries import Entry, Problem
from dfkdbench.boards.reading import ReadPlan
from dfkdbench.controls import CONTROLS
from dfkdbench.registry import CORE

CONTROL_NAMES = tuple(method.name for method in CONTROLS)
_CLOCK_SKEW = datetime.timedelta(minutes=10)

TableKey = tuple[int, str]
"""A table: the place of its cell in the board's file, and its tier."""


def is_control(plan: ReadPlan) -> bool:
    """Whether a run is one of the core's controls, which are shown beside every ranking and have no rank."""
    return plan.plugin in CONTROL_NAMES and plan.distribution == CORE


def refusal(definition: Definition, entry: Entry) -> str:
    """Why a board does not take an entry, or nothing."""
    plan, result = entry.plan, entry.result
    if plan.protocol != definition.protocol:
        return f"It is of protocol {plan.protocol}; this board is of {definition.protocol}."
    cell = cell_of(definition, plan)
    if cell is None:
        return _no_cell(definition, plan)
    if cell.is_open:
        return (
            f"The board's cell {cell.title} is not pinned yet: its teachers and test_set_sha256 are missing in "
            "leaderboard.toml, and without them entries can't be compared."
        )
    if plan.test_set_sha256 != cell.test_set_sha256:
        return f"It was judged on another test set than the board's ({plan.test_set_sha256[:12]}...)."
    if result.teacher_accuracy != cell.teachers[0].accuracy:
        return f"Its teacher has {result.teacher_accuracy} %, the board's card says {cell.teachers[0].accuracy} %."
    tier = cell.tier(plan.budget.name)
    if tier is None:
        there = ", ".join(tier.name for tier in cell.budgets)
        return f"It is of budget {plan.budget.name}; the board's for {cell.title}: {there}."
    for name in ("student_samples", "teacher_queries", "device_seconds", "evaluations"):
        allowed, planned = getattr(tier, name), getattr(plan.budget, name)
        if planned != allowed:
            return f"Its budget {tier.name} has {planned:,} {name.replace('_', ' ')}, the board's has {allowed:,}."
    if definition.league not in (EVERY, plan.league) and not is_control(plan):
        return f"It is of the league {plan.league}; this board ranks {definition.league}."
    if plan.processes > definition.processes:
        taken = "of one process" if definition.processes == 1 else f"of {definition.processes} processes at most"
        return (
            f"It was done by {plan.processes} processes; this board takes runs {taken}. Its host may say otherwise: "
            f"processes = {plan.processes} in {FILE}."
        )
    return ""


def cell_of(definition: Definition, plan: ReadPlan) -> Cell | None:
    """The board's cell that a run is of; of several with its pair the one with its teachers."""
    cells = definition.cells_of(plan.input.dataset, plan.pair)
    hashes = tuple(teacher.sha256 for teacher in plan.teachers)
    fitting = [cell for cell in cells if cell.hashes == hashes and not cell.is_open]
    return next(iter(fitting or [cell for cell in cells if cell.is_open]), None)


def _no_cell(definition: Definition, plan: ReadPlan) -> str:
    cells = definition.cells_of(plan.input.dataset, plan.pair)
    if not cells:
        there = "; ".join(dict.fromkeys(f"{cell.dataset} {cell.pair}" for cell in definition.cells))
        return f"The board has no cell {plan.input.dataset} {plan.pair}. There are: {there}."
    given = ", ".join(teacher.sha256[:12] for teacher in plan.teachers)
    there = " or ".join(", ".join(hash_[:12] for hash_ in cell.hashes) for cell in cells if not cell.is_open)
    return f"It has another teacher than the board's {cells[0].title}: {given} instead of {there}."


class Admission:
    """Takes entries one after the other, each seed of a row once.

    Args:
        now: Refuse what was finished later than this; without it no clock is looked at.

    Attributes:
        taken: The entries of each table.
    """

    def __init__(self, definition: Definition, now: datetime.datetime | None = None) -> None:
        self.taken: dict[TableKey, list[Entry]] = defaultdict(list)
        self._definition = definition
        self._now = now
        self._seeds: dict[tuple[str, int], str] = {}
        self._students: dict[str, Entry] = {}

    def offer(self, entry: Entry) -> str:
        """Takes an entry, or says why not."""
        problem = refusal(self._definition, entry) or _later_than(self._now, entry) or _copied(entry, self._students)
        seed = (entry.settings, entry.result.seed)
        if not problem and self._seeds.get(seed, entry.run_id) != entry.run_id:
            problem = f"Seed {entry.result.seed} of the same settings is there already: {self._seeds[seed]}."
        if problem:
            return problem
        self._seeds[seed] = entry.run_id
        if entry.result.student_sha256:
            self._students[entry.result.student_sha256] = entry
        cell = cell_of(self._definition, entry.plan)
        self.taken[self._definition.cells.index(cell) if cell else -1, entry.plan.budget.name].append(entry)
        return ""


def admit(
    definition: Definition, entries: Iterable[Entry], now: datetime.datetime | None = None
) -> tuple[Admission, list[Problem]]:
    """The entries of each table, and those that are left out.

    Where one seed of a row is there twice, or two seeds of a cell end with the same student, the run that finished
    first counts.

    Args:
        now: As for `Admission`.
    """
    admission = Admission(definition, now)
    problems = []
    for entry in sorted(entries, key=finished_first):
        if problem := admission.offer(entry):
            problems.append(Problem(entry.run_id, problem))
    return admission, problems


def order_of(definition: Definition) -> Sequence[tuple[TableKey, Cell, Tier]]:
    """The tables of a board in the order of its file."""
    return [((definition.cells.index(cell), tier.name), cell, tier) for cell, tier in definition.tables()]


def finished_first(entry: Entry) -> tuple[datetime.datetime, str]:
    """The order in which entries are taken, for `sorted`."""
    return datetime.datetime.fromisoformat(entry.result.finished_at), entry.run_id


def _later_than(now: datetime.datetime | None, entry: Entry) -> str:
    finished = datetime.datetime.fromisoformat(entry.result.finished_at)
    if now is not None and finished > now + _CLOCK_SKEW:
        return f"It was finished at {entry.result.finished_at}, which lies in the future."
    return ""


def _copied(entry: Entry, students: dict[str, Entry]) -> str:
    """Another seed, data set or pair can't end with the same student; other settings may, where they have no effect."""
    other = students.get(entry.result.student_sha256 or "")
    if other is None:
        return ""
    mine, theirs = entry.result, other.result
    if (mine.seed, mine.dataset, mine.pair) == (theirs.seed, theirs.dataset, theirs.pair):
        return ""
    return f"Its student is that of {other.run_id}, a run of another seed or cell."

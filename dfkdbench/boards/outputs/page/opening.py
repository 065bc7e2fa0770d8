"""The top of a page: what the board is, how to read it, its tables at a glance, and the filters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dfkdbench.boards.model import Board, Ranking, Table
from dfkdbench.boards.outputs import layout
from dfkdbench.boards.outputs.page.markup import Child, Markup, element, joined, shortened, with_code
from dfkdbench.boards.outputs.page.tables import description, folded, lines

_SEEDS = (1, 3, 5, 10)
_INTERVAL = (
    "mean over finished seeds and half-width of its 95 % t interval. In the picture beside it a mark is the mean, a "
    "bar the interval, dots are seeds, and the dashed line is the teacher, of several the first. An arrow: the mean "
    "lies beyond the axis."
)
_HOW_TO_READ = (
    "Axes of accuracy are stretched towards 100: equal steps are equal factors of the error, so 90 to 95 is as far as "
    "95 to 97.5.",
    "Best on test is the highest accuracy that any evaluation found. It never ranks: who picks it has looked at the "
    "test set.",
    "Mean and variance are over the evaluations of a run; worst drop is the largest fall of any seed below an earlier "
    "evaluation, in points.",
    "Verified is the level that all of a row's entries reached: L0 schema and hashes, L1 weights evaluated again, L2 "
    "blindness, L3 a seed run again.",
    "Claims are figures of papers on the same data set and pair, with their own teachers and budgets and often their "
    "best epoch. They are never ranked.",
    "† marks rows whose settings were changed by who ran them.",
)


def opening(board: Board) -> Markup:
    """Title, description, and what the figures mean."""
    rows = sum(len(table.rows) for table in board.tables)
    numbers = [
        ("Protocol", board.protocol),
        ("Tables", f"{len(board.tables):,}"),
        ("Rows", f"{rows:,}"),
        ("Runs", f"{board.entries:,}"),
        ("Seeds for a rank", str(board.minimum_seeds)),
    ]
    return element(
        "header",
        element("h1", board.title),
        element("p", with_code(board.description), class_="lead") if board.description else None,
        description(numbers, class_="numbers"),
        element(
            "p",
            "Accuracy at the end of the budget alone ranks, and only inside a league: leagues differ in what a method "
            "may see of the teacher.",
        ),
        folded("How to read this page", lines(_reading(board))),
    )


def contents(board: Board) -> Markup:
    """The board's tables with the first of each league."""
    return element(
        "nav",
        element("h2", "At a glance", id="glance"),
        element("ul", *(_glance(table) for table in board.tables), class_="glance"),
        aria_labelledby="glance",
    )


def filters(board: Board) -> Markup:
    """Controls that the script brings to life; without one they stay hidden."""
    pairs = dict.fromkeys((table.dataset, table.pair) for table in board.tables)
    several = len({dataset for dataset, _ in pairs}) > 1
    leagues = dict.fromkeys(ranking.league for table in board.tables for ranking in table.rankings)
    budgets = dict.fromkeys(table.budget.name for table in board.tables)
    return element(
        "form",
        _select("pair", "Pair", [(f"{name} {pair}", f"{name} {pair}" if several else pair) for name, pair in pairs]),
        _select("budget", "Budget", [(name, name) for name in budgets]),
        _select("league", "League", [(name, name) for name in leagues]),
        _select("seeds", "Seeds", [(str(least), f"{least} or more") for least in _SEEDS]),
        _labelled("name", "Method", element("input", id="filter-name", name="name", type="search", autocomplete="off")),
        _select("theme", "Colours", [("light", "light"), ("dark", "dark")], "as the system"),
        element("button", "Show everything", type="reset"),
        element("p", role="status", id="shown"),
        id="filters",
        aria_label="Filters",
        hidden=True,
    )


def _reading(board: Board) -> Iterator[Child]:
    yield joined([element("b", "96.96 ± 0.79"), f": {_INTERVAL}"])
    yield from _HOW_TO_READ
    yield (
        f"Rows below {board.minimum_seeds} finished seeds have no rank, nor have teachers and controls. A method whose "
        "seeds fail looks better by the others' mean than it is: see its failures."
    )


def _glance(table: Table) -> Markup:
    title = element("a", element("code", table.pair), href=f"#{table.key}")
    firsts = [(ranking.league, _first(ranking)) for ranking in table.rankings]
    if firsts:
        what: Markup = description(firsts)
    else:
        what = element(
            "p", "No entry yet" if table.pinned else "Not pinned yet", f"; {len(table.claims)} claims of papers"
        )
    return element(
        "li",
        element("h3", title),
        element("p", f"{table.dataset}, {table.budget.name}", class_="meta"),
        what,
        data_cell=table.key,
    )


def _first(ranking: Ranking) -> Markup:
    """The first of a league; where it has none with a rank, that."""
    first = [row for row in ranking.rows if row.rank == 1]
    if not first:
        return joined([element("span", "no row with a rank", class_="meta")])
    names = ", ".join(shortened(row.method, 40) for row in first[:3])
    return joined([element("b", names), " ", layout.interval(first[0].mean, first[0].half_width)])


def _select(name: str, label: str, options: Iterable[tuple[str, str]], every: str = "all") -> Markup:
    choices = [element("option", every, value="")]
    choices += [element("option", shown, value=value) for value, shown in options]
    return _labelled(name, label, element("select", *choices, id=f"filter-{name}", name=name))


def _labelled(name: str, label: str, control: Child) -> Markup:
    return element("p", element("label", label, for_=f"filter-{name}"), control)

"""How a comparison is written: as plain values, as tables for people, and as one long CSV."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import click

from dfkdbench.cli.output import print_table
from dfkdbench.statistics.bootstrap import expected_coverage
from dfkdbench.statistics.cells import MINIMUM_SEEDS, SEEDS_BELOW_A_POINT, CellKey, Entry, GroupKey
from dfkdbench.statistics.comparison import Comparison, Pairing
from dfkdbench.statistics.ranks import RankTest, in_words

Row = dict[str, Any]
_TABLES = {
    "cells": "Accuracy at the end of the budget in percent: mean ± half-width of the 95 % t interval over n seeds",
    "paired": "Paired differences over common seeds, in points: mean ± half-width of the 95 % t interval",
    "outcomes": "Cells won, tied and lost: a tie is an interval of the paired difference that contains 0",
    "aggregates": "Aggregates over cells, in percent [95 % stratified bootstrap]",
    "ranks": "Average ranks, 1 is best",
}
_CSV_COLUMNS = (
    *("table", "protocol", "budget", "league", "dataset", "pair", "teacher_sha256", "method", "against", "figure"),
    *("n", "value", "half_width", "low", "high", "outcome", "wins", "ties", "losses", "undecided"),
    *("failures", "left_out", "note"),
)


def name_of(key: GroupKey) -> str:
    """A group in words."""
    return f"protocol {key.protocol}, budget {key.budget}, league {key.league}"


def report(comparison: Comparison, baseline: str | None) -> Row:
    """A comparison as values that JSON can hold; `value` is an accuracy, a difference, an aggregate or a rank."""
    group, ranks = comparison.group, comparison.ranks
    return {
        **group.key._asdict(),
        "cells": [_cell_row(cell, entry) for cell, found in group.cells.items() for entry in found.values()],
        "paired": [_paired_row(pairing) for pairing in comparison.pairings],
        "outcomes": [
            {
                "method": method,
                "against": against,
                "wins": counts.wins,
                "ties": counts.ties,
                "losses": counts.losses,
                "undecided": counts.undecided,
            }
            for (method, against), counts in comparison.tallies.items()
        ],
        "aggregates": [
            {"method": method, "figure": found.name, "value": found.value, "low": found.low, "high": found.high}
            for method, figures in comparison.aggregates.items()
            for found in figures
        ],
        "ranks": _rank_rows(ranks) if ranks else [],
        "rank_test": _rank_test(ranks) if ranks else None,
        "left_out": comparison.left_out,
        "notes": _notes(comparison, baseline),
    }


def print_tables(reports: Sequence[Row]) -> None:
    """Prints each group's tables, each with what its figures are."""
    for index, found in enumerate(reports):
        click.echo(("\n" if index else "") + name_of(GroupKey(found["protocol"], found["budget"], found["league"])))
        makers = (_cells_table, _paired_table, _outcomes_table, _aggregates_table, _ranks_table)
        for (name, caption), make in zip(_TABLES.items(), makers, strict=True):
            if found[name]:
                click.echo(f"\n{caption}")
                columns, rows = make(found)
                print_table(columns, rows)
        if found["notes"]:
            click.echo()
        for note in found["notes"]:
            click.echo(f"- {note}")


def print_csv(reports: Sequence[Row]) -> None:
    """Prints one CSV with all tables below each other; the column `table` says which a row is of."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for found in reports:
        for name in _TABLES:
            for row in found[name]:
                flat = {**{key: found[key] for key in GroupKey._fields}, "table": name, **row}
                flat["failures"] = _failures(row.get("failures", {}))
                flat["left_out"] = "; ".join(row.get("left_out", ()))
                writer.writerow(flat)
    click.echo(text.getvalue(), nl=False)


def _cell_row(cell: CellKey, entry: Entry) -> Row:
    interval = entry.interval
    notes = ["one seed: no interval" if interval and interval.half_width is None else ""]
    notes += [f"fewer than {MINIMUM_SEEDS} seeds" if 0 < len(entry.scores) < MINIMUM_SEEDS else ""]
    notes = notes if entry.scores else ["no seed finished"]
    notes += [f"settings changed: {', '.join(entry.changed)}" if entry.changed else ""]
    return {
        **cell._asdict(),
        "method": entry.method,
        "n": len(entry.scores),
        "value": interval and interval.mean,
        "half_width": interval and interval.half_width,
        "seeds": sorted(entry.scores),
        "failures": {str(seed): status for seed, status in sorted(entry.failures.items())},
        "note": "; ".join(filter(None, notes)),
    }


def _paired_row(pairing: Pairing) -> Row:
    difference, interval = pairing.difference, pairing.difference.interval
    note = ""
    if interval is None:
        note = "no common seed"
    elif interval.half_width is None:
        note = "one common seed: no interval"
    elif interval.count < MINIMUM_SEEDS:
        note = f"fewer than {MINIMUM_SEEDS} common seeds"
    elif difference.outcome != "tie" and abs(interval.mean) < 1 and interval.count < SEEDS_BELOW_A_POINT:
        note = f"below a point: the protocol asks for {SEEDS_BELOW_A_POINT} seeds"
    return {
        **pairing.cell._asdict(),
        "method": pairing.method,
        "against": pairing.against,
        "n": len(difference.seeds),
        "value": interval and interval.mean,
        "half_width": interval and interval.half_width,
        "outcome": difference.outcome,
        "seeds": list(difference.seeds),
        "left_out": list(pairing.left_out),
        "note": note,
    }


def _rank_rows(test: RankTest) -> list[Row]:
    return [
        {"method": method, "figure": "average rank", "n": test.tasks, "value": rank}
        for method, rank in test.average_ranks.items()
    ]


def _rank_test(test: RankTest) -> Row:
    return {
        "tasks": test.tasks,
        "friedman_chi_squared": test.statistic,
        "p_value": test.p_value,
        "critical_difference": test.critical_difference,
        "alpha": test.alpha,
        "groups": [list(names) for names in test.groups],
    }


def _notes(comparison: Comparison, baseline: str | None) -> list[str]:
    group, notes = comparison.group, []
    if any(entry.failures for entries in group.cells.values() for entry in entries.values()):
        notes.append("All means are over finished seeds: a method whose runs fail looks better by them than it is.")
    if len(group.methods) < 2:
        return [*notes, "One method: there is nothing to compare it with in this group."]
    if baseline is not None and baseline not in group.methods:
        notes.append(f"The baseline {baseline} has no record in this group, so there are no differences from it.")
    elif comparison.pairings:
        origin = baseline or "the best of each cell, chosen by these same numbers"
        notes.append(
            f"Differences are from {origin}. Each interval stands for itself: of twenty "
            "differences between equal methods one is expected to exclude 0."
        )
    if comparison.aggregates:
        notes.append(_bootstrap_note(comparison))
    if comparison.ranks:
        notes.append(in_words(comparison.ranks))
    else:
        notes.append(f"No ranks. {comparison.refusal}")
    if len(comparison.shared_cells) > 1:
        notes += [f"Not in aggregates and ranks: {name}, {why}." for name, why in comparison.left_out.items()]
    alone = [cell for cell in group.cells if cell not in comparison.shared_cells]
    if alone and comparison.shared_cells:
        named = "; ".join(f"{cell.dataset} {cell.pair} teacher {cell.teacher_sha256[:8]}" for cell in alone)
        notes.append(f"Not in aggregates and ranks, as cells of one method or without a finished run: {named}.")
    return notes


def _bootstrap_note(comparison: Comparison) -> str:
    seeds = comparison.fewest_seeds
    over = f"The aggregates are over {len(comparison.shared_cells)} cells, seeds resampled inside each."
    if seeds < 2:
        return f"{over} Where a cell has a single seed there is no interval."
    return (
        f"{over} Their 95 % is nominal: at {seeds} seeds a cell, the fewest here, such an interval covers about "
        f"{100 * expected_coverage(seeds):.0f} % at best, and less over few cells."
    )


def _cells_table(found: Row) -> tuple[list[str], list[list[str]]]:
    columns = ["data set", "pair", "teacher", "method", "league", "n", "final %", "failures", "note"]
    return columns, [
        [*_place(row), row["method"], found["league"], str(row["n"]), _mean(row), _share(row), row["note"]]
        for row in found["cells"]
    ]


def _paired_table(found: Row) -> tuple[list[str], list[list[str]]]:
    columns = [
        "data set",
        "pair",
        "teacher",
        "method",
        "against",
        "n",
        "difference",
        "outcome",
        "note",
        "seeds left out",
    ]
    return columns, [
        [
            *(*_place(row), row["method"], row["against"], str(row["n"]), _mean(row, sign="+"), row["outcome"]),
            *(row["note"], "; ".join(row["left_out"]) or "-"),
        ]
        for row in found["paired"]
    ]


def _outcomes_table(found: Row) -> tuple[list[str], list[list[str]]]:
    columns = ["method", "against", "wins", "ties", "losses", "undecided"]
    return columns, [[str(row[column]) for column in columns] for row in found["outcomes"]]


def _aggregates_table(found: Row) -> tuple[list[str], list[list[str]]]:
    by_method: dict[str, list[str]] = defaultdict(list)
    for row in found["aggregates"]:
        ends = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
        by_method[row["method"]].append(f"{row['value']:.2f}{ends}")
    figures = list(dict.fromkeys(row["figure"] for row in found["aggregates"]))
    return ["method", *figures], [[method, *cells] for method, cells in by_method.items()]


def _ranks_table(found: Row) -> tuple[list[str], list[list[str]]]:
    return ["method", "average rank"], [[row["method"], f"{row['value']:.2f}"] for row in found["ranks"]]


def _place(row: Row) -> tuple[str, str, str]:
    return row["dataset"], row["pair"], row["teacher_sha256"][:8]


def _mean(row: Row, sign: str = "") -> str:
    if row["value"] is None:
        return "-"
    return f"{row['value']:{sign}.2f}" + ("" if row["half_width"] is None else f" ± {row['half_width']:.2f}")


def _share(row: Row) -> str:
    """How many seeds failed, and which."""
    failures = row["failures"]
    return f"{len(failures)} of {row['n'] + len(failures)}: {_failures(failures)}" if failures else "-"


def _failures(failures: dict[str, str]) -> str:
    by_status: dict[str, list[str]] = defaultdict(list)
    for seed, status in failures.items():
        by_status[status].append(seed)
    return "; ".join(
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)} {status}" for status, seeds in by_status.items()
    )

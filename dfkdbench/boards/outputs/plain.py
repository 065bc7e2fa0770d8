"""The model as JSON, and every row of it in one CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from dfkdbench.boards.model import Board, Claim, Row, Table
from dfkdbench.boards.outputs.escape import csv_text

Value = str | float | int | None

COLUMNS = (
    *("dataset", "pair", "teachers", "budget", "league", "rank", "unranked", "method", "plugin", "distribution"),
    *("method_version", "control", "settings_changed", "seeds", "mean", "half_width", "oracle", "stability_mean"),
    *("variance", "worst_drop", "failures", "failure_rate", "student_samples", "teacher_queries", "seconds"),
    *("replay_bytes", "peak_memory_mb", "hardware", "isolation", "verified", "published", "command", "entries", "key"),
)


def data_json(board: Board) -> str:
    """The whole board; see the schema in `dfkdbench/assets/boards`. Safe inside a script element of a page."""
    tree = board.model_dump(mode="json", by_alias=True)
    return json.dumps(tree, indent=1, ensure_ascii=True).replace("<", "\\u003c") + "\n"


def data_schema() -> str:
    """The JSON schema of `data_json`; it ships as `dfkdbench/assets/boards/data.schema.json`."""
    schema = Board.model_json_schema(by_alias=True, mode="serialization")
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def results_csv(board: Board) -> str:
    """One line a row, controls and teachers among them; numbers in full."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for table in board.tables:
        for teacher in table.teachers:
            facts: dict[str, Value] = {"method": f"teacher {teacher.name}", "mean": teacher.accuracy}
            writer.writerow(_safe({**_cell(table), **facts, "unranked": "teacher"}))
        for row in table.rows:
            writer.writerow(_safe({**_cell(table), **_facts(row)}))
    return text.getvalue()


def _cell(table: Table) -> dict[str, Value]:
    return {
        "dataset": table.dataset,
        "pair": table.pair,
        "teachers": " ".join(teacher.sha256 for teacher in table.teachers),
        "budget": table.budget.name,
    }


def _facts(row: Row) -> dict[str, Value]:
    same = [name for name in COLUMNS if name in type(row).model_fields]
    facts: dict[str, Any] = {name: getattr(row, name) for name in same}
    return {
        **facts,
        "control": "yes" if row.control else "no",
        "settings_changed": "; ".join(row.settings),
        "seeds": " ".join(str(score.seed) for score in row.scores),
        "failures": "; ".join(f"seed {failure.seed} {failure.status}" for failure in row.failures),
        "hardware": "; ".join(row.hardware),
        "isolation": "; ".join(sorted({score.isolation for score in row.scores})),
        "published": "; ".join(map(_claimed, row.claims)),
        "entries": " ".join([score.run_id for score in row.scores] + [failure.run_id for failure in row.failures]),
    }


def _claimed(claim: Claim) -> str:
    return f"{claim.value} ({claim.paper}, epoch {claim.epoch or 'unspecified'})"


def _safe(row: dict[str, Value]) -> dict[str, Value]:
    return {name: csv_text(value) if isinstance(value, str) else value for name, value in row.items()}

"""What a run's plan and its record both say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfkdbench.boards.reading import ReadPlan
    from dfkdbench.plan import Plan


def repeated_in_record(plan: Plan | ReadPlan) -> dict[str, Any]:
    """Fields of a record, with the values that the plan gives them."""
    return {
        "protocol": plan.protocol,
        "plugin": plan.plugin,
        "distribution": plan.distribution,
        "dataset": plan.input.dataset,
        "pair": plan.pair,
        "budget": plan.budget.name,
        "seed": plan.seed,
        "league": plan.league,
        "device": plan.device,
        "teacher_sha256": plan.teachers[0].sha256,
        "processes": plan.processes,
        "batch_statistics": plan.batch_statistics,
    }

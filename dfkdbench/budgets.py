"""What a run may spend, and how one is told that it spent more.

The worker counts its samples, queries and seconds and stops itself. The judge holds what it reports against the budget
and keeps a clock of its own, so that a method whose loop never returns ends too. docs/protocol.md says what counts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfkdbench.plan import Plan

OVER_BUDGET = "over-budget"
"""The status of a run that wanted more than its tier has."""


class OverBudgetError(Exception):
    """A run asks for more than its budget has."""


def over_budget(name: str, spent: float, limit: float) -> str:
    """What a record says of a run that wanted more of something than its tier has."""
    return f"The run went over its budget: {spent:,.0f} {name.replace('_', ' ')}, and the tier has {limit:,.0f}."


def overspent(plan: Plan, report: Mapping[str, Any]) -> str:
    """What a worker's report says it spent beyond its budget, or nothing."""
    for name, limit in plan.limits.items():
        spent = int(report.get(name, 0))
        if limit and spent > limit:
            return over_budget(name, spent, limit)
    return ""


class Clock:
    """The judge's own clock for a worker whose loop may never return.

    Args:
        seconds_before: Device seconds that earlier starts of the run took.

    Attributes:
        GRACE: Seconds that a worker has for its start and its last round, beyond its budget.
    """

    GRACE = 60.0

    def __init__(self, plan: Plan, seconds_before: float) -> None:
        self._limit = plan.budget.device_seconds
        self._started = time.monotonic() - seconds_before

    def excess(self) -> str:
        """What the worker took beyond its budget, or nothing."""
        seconds = time.monotonic() - self._started
        return over_budget("device_seconds", seconds, self._limit) if seconds > self._limit + self.GRACE else ""


def expected_queries(plan: Plan) -> int:
    """About how many teacher queries the standard loop makes: every student sample once, every image of a generator
    step forward and backward. Parts that ask more, such as a loss that looks at other views, come on top.
    """
    generator = plan.slots["generator"]
    batch = int(generator.options.get("batch_size") or plan.recipe.batch_size)
    learns = "images_with_gradient" in generator.provides
    samples = plan.student_steps * (plan.recipe.batch_size + plan.replay_size)
    images = samples + (2 * batch * plan.generator_steps if learns else 0)
    return images * len(plan.teachers)

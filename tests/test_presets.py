"""The presets of every installed method: what they plan fits the tier that they are for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from dfkdbench.budgets import expected_queries
from dfkdbench.config import resolve
from dfkdbench.errors import DfkdbenchError
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.registry import Registry, load_registry

REGISTRY = load_registry()


def cells_of(registry: Registry) -> Iterator[Cell]:
    """Every tier of every pair, with the students of several heads besides."""
    of_several_heads = [name for name, model in registry.models.items() if model.item.heads]
    for _, dataset in registry.datasets.items():
        for pair in dataset.item.pairs:
            teacher, student = pair.split(":")
            for name, (tier, budget) in product((student, *of_several_heads), dataset.item.budgets.items()):
                yield Cell(dataset, registry.models.get(teacher), registry.models.get(name), tier, budget)


def plans_of(registry: Registry, name: str) -> list[Plan]:
    """What a method plans for every cell that it takes, with one teacher or three."""
    method, plans = registry.methods.get(name), []
    for cell, count in product(cells_of(registry), (1, 3)):
        teachers = {f"teacher{number}": "a" * 64 for number in range(count)}
        place = (cell.dataset.item.name, cell.pair, cell.budget_name)
        try:
            resolved = resolve(registry, method.item, place)
            plans.append(make_plan(method, resolved, cell, teachers, 0, "cpu", "f" * 64))
        except DfkdbenchError:  # the method refuses the cell, with a reason that other tests look at
            continue
    return plans


@pytest.mark.parametrize("name", REGISTRY.methods.names())
def test_presets__ask_no_more_of_the_teacher_than_their_tier_has(name: str) -> None:
    plans = plans_of(REGISTRY, name)
    assert plans
    excess = {
        f"{plan.input.dataset} {plan.pair} {plan.budget.name}: {expected_queries(plan):,} of {limit:,}"
        for plan in plans
        if (limit := plan.limits["teacher_queries"]) and expected_queries(plan) > limit
    }
    assert sorted(excess) == []

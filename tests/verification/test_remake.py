"""Plans that were written and read are made again from what is installed."""

from __future__ import annotations

from itertools import product

import pytest

from dfkdbench.config import resolve
from dfkdbench.errors import DfkdbenchError, IntegrityError
from dfkdbench.files import canonical_json
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.registry import load_registry
from dfkdbench.verification.remake import remake

REGISTRY = load_registry()


def plans_on_digits(name: str) -> list[Plan]:
    """What a method plans for every pair of digits, as it is read from a file."""
    method, dataset = REGISTRY.methods.get(name), REGISTRY.datasets.get("digits")
    of_several_heads = [model for model, owned in REGISTRY.models.items() if owned.item.heads]
    plans = []
    for pair, count in product(dataset.item.pairs, (1, 3)):
        teacher, own = pair.split(":")
        for student in (own, *of_several_heads):
            architectures = REGISTRY.models.get(teacher), REGISTRY.models.get(student)
            cell = Cell(dataset, *architectures, "standard", dataset.item.budgets["standard"])
            teachers = {f"teacher{number}": "a" * 64 for number in range(count)}
            try:
                resolved = resolve(REGISTRY, method.item, ("digits", cell.pair, "standard"))
                plan = make_plan(method, resolved, cell, teachers, 0, "cpu", "f" * 64)
            except DfkdbenchError:  # the method refuses the cell
                continue
            plans.append(Plan.model_validate_json(canonical_json(plan.model_dump(mode="json"))))
    return plans


@pytest.mark.parametrize("name", REGISTRY.methods.names())
def test_remake__gives_the_plan_of_every_installed_method_again(name: str) -> None:
    plans = plans_on_digits(name)
    assert plans
    for plan in plans:
        assert remake(plan, REGISTRY, None).plan.run_id == plan.run_id
        short = remake(plan, REGISTRY, None).short_plan()
        assert [phase.name for phase in short.phases] == [phase.name for phase in plan.phases]
        assert short.student_steps < plan.student_steps


def test_remake__refuses_a_plan_that_was_changed() -> None:
    (plan,) = plans_on_digits("noise")[:1]
    changed = plan.model_copy(update={"league": "hard-labels"})
    with pytest.raises(IntegrityError, match='league is "hard-labels", expected "soft-labels"'):
        remake(changed, REGISTRY, None)

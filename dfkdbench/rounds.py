"""How many rounds a budget pays for, and where in them the student is evaluated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dfkdbench.errors import PlanError
from dfkdbench.recipe import Recipe

if TYPE_CHECKING:
    from dfkdbench.plan import Cell


def count_rounds(recipe: Recipe, cell: Cell, samples_per_step: int) -> dict[str, int]:
    """Rounds of every phase: given, or as many as the budget's student samples allow.

    Args:
        samples_per_step: Images the student is trained on in a step, replayed ones included.

    Raises:
        PlanError: Rounds that can't be counted, or that the budget does not allow.
    """
    open_phases = [name for name, phase in recipe.phases.items() if phase.rounds is None]
    fixed = sum(
        (phase.rounds or 0) * phase.student_steps * samples_per_step
        for phase in recipe.phases.values()
        if phase.rounds is not None
    )
    if cell.budget.student_samples == 0 and open_phases:
        raise PlanError(
            f"The budget '{cell.budget_name}' means the method's own published number of steps, and the method has "
            f"none for {cell.dataset.item.name} ({cell.pair}). Choose another tier "
            f"({', '.join(name for name in cell.dataset.item.budgets if name != cell.budget_name)}) or say "
            f"--set phases.{open_phases[0]}.rounds=N."
        )
    if len(open_phases) > 1:
        raise PlanError(
            f"Only one phase may take what is left of the budget; {' and '.join(open_phases)} have no rounds. "
            f"Say --set phases.{open_phases[0]}.rounds=N."
        )
    counted: dict[str, int] = {}
    for name, phase in recipe.phases.items():
        rounds = phase.rounds
        if rounds is None:
            if phase.student_steps == 0:
                raise PlanError(f"The phase '{name}' trains no student; it needs rounds. Say phases.{name}.rounds=N.")
            rounds = (cell.budget.student_samples - fixed) // (phase.student_steps * samples_per_step)
        if rounds < 1:
            raise PlanError(
                f"The budget '{cell.budget_name}' of {cell.dataset.item.name} has {cell.budget.student_samples:,} "
                f"student samples; one round of phase '{name}' takes {phase.student_steps * samples_per_step:,} and "
                f"other phases take {fixed:,}. Choose a larger tier or a smaller batch (--set batch_size=N)."
            )
        counted[name] = rounds
    total = sum(counted[name] * phase.student_steps for name, phase in recipe.phases.items()) * samples_per_step
    if total == 0:
        raise PlanError("No phase of the recipe trains the student. Give one student_steps of at least 1.")
    if cell.budget.student_samples and total > cell.budget.student_samples:
        raise PlanError(
            f"The recipe trains the student on {total:,} images; the budget '{cell.budget_name}' of "
            f"{cell.dataset.item.name} allows {cell.budget.student_samples:,}."
        )
    return counted


def evaluation_points(student_steps: int, evaluations: int) -> tuple[int, ...]:
    """Student steps after which a snapshot is evaluated, evenly over the run; the last is the end."""
    count = max(1, min(evaluations, student_steps))
    return tuple(math.ceil(student_steps * (index + 1) / count) for index in range(count))

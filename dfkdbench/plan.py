"""The plan of a run: everything that can change its number, resolved and checked before anything starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from dfkdbench import PROTOCOL
from dfkdbench.compatibility import check_parts, check_sizes, league_of, needed_access
from dfkdbench.config import Resolved, ResolvedPart
from dfkdbench.descriptors import Budget, DatasetSpec, Method, ModelSpec
from dfkdbench.errors import PlanError
from dfkdbench.files import canonical_json, sha256_of
from dfkdbench.recipe import Phase, PlannedRecipe, Recipe
from dfkdbench.registry import Owned

ENGINE = "2"
"""Changes whenever the standard loop gives other numbers for the same plan."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedPart(_Frozen):
    """A part as the worker builds it."""

    kind: str
    name: str
    target: str
    options_type: str
    options: dict[str, Any]
    weight: float
    needs: tuple[str, ...]
    provides: tuple[str, ...]
    version: str
    distribution: str


class PlannedModel(_Frozen):
    """An architecture as worker and judge build it."""

    name: str
    target: str
    version: str
    distribution: str


class PlannedTeacher(_Frozen):
    """A pinned teacher. Its accuracy stays with the judge."""

    name: str
    sha256: str
    model: PlannedModel


class PlannedBudget(_Frozen):
    """What the run may spend; see `dfkdbench.descriptors.Budget`."""

    name: str
    student_samples: int
    teacher_queries: int
    device_seconds: int
    evaluations: int


class InputSpec(_Frozen):
    """The teacher's input space: images normalised by mean and std per channel."""

    dataset: str
    classes: int
    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class PlannedPhase(_Frozen):
    """A phase with its rounds counted."""

    name: str
    rounds: int
    phase: Phase


class Plan(_Frozen):
    """A resolved run. Its id is the hash of everything here that can change the number.

    Attributes:
        evaluate_at: Student steps after which a snapshot is handed out, rising; the last is the end.
        side: "worker", or "judge" for controls that need real samples.
    """

    protocol: str
    engine: str
    plugin: str
    method_version: str
    distribution: str
    loop: str | None
    input: InputSpec
    pair: str
    teachers: tuple[PlannedTeacher, ...]
    student: PlannedModel
    budget: PlannedBudget
    seed: int
    device: str
    recipe: PlannedRecipe
    slots: dict[str, PlannedPart]
    losses: dict[str, PlannedPart]
    student_losses: dict[str, PlannedPart]
    phases: tuple[PlannedPhase, ...]
    generator_steps: int
    student_steps: int
    replay_size: int
    evaluate_at: tuple[int, ...]
    access: tuple[str, ...]
    league: str
    side: Literal["worker", "judge"]
    test_set_sha256: str

    @property
    def run_id(self) -> str:
        """A readable start, then the hash of everything that can change the number."""
        digest = sha256_of(canonical_json(self.model_dump(mode="json")).encode())
        pair = self.pair.replace(":", "-")
        return f"{self.plugin}-{self.input.dataset}-{pair}-s{self.seed}-{digest[:12]}".replace("/", "_")

    def parts(self) -> list[PlannedPart]:
        """Every part."""
        return [*self.slots.values(), *self.losses.values(), *self.student_losses.values()]

    @property
    def participants(self) -> frozenset[str]:
        """Distributions whose code takes part in the run: method, parts and architectures."""
        models = {self.student.distribution, *(teacher.model.distribution for teacher in self.teachers)}
        return frozenset(part.distribution for part in self.parts()) | models | {self.distribution}


@dataclass(frozen=True)
class Cell:
    """What is being measured: data set, pair of architectures, tier."""

    dataset: Owned[DatasetSpec]
    teacher: Owned[ModelSpec]
    student: Owned[ModelSpec]
    budget_name: str
    budget: Budget

    @property
    def pair(self) -> str:
        """ "teacher:student"."""
        return f"{self.teacher.item.name}:{self.student.item.name}"


def make_plan(
    method: Owned[Method],
    resolved: Resolved,
    cell: Cell,
    teachers: Mapping[str, str],
    seed: int,
    device: str,
    test_set_sha256: str,
) -> Plan:
    """Checks that the parts fit each other and the teacher, and counts rounds, steps and snapshots.

    Args:
        teachers: Bundle name -> sha256 of the weights, in order.

    Raises:
        PlanError: A combination that can't work, with what would satisfy it.
    """
    spec, recipe = cell.dataset.item, resolved.recipe
    check_sizes(spec, cell.teacher.item, cell.student.item)
    check_parts(method.item, resolved, cell.teacher.item, cell.student.item, len(teachers))
    replays = resolved.slots["replay"].component.name != "none"
    replay_size = max(1, int(recipe.batch_size * recipe.replay_fraction)) if replays else 0
    phases = _count_rounds(recipe, cell, recipe.batch_size + replay_size)
    student_steps = sum(planned.rounds * planned.phase.student_steps for planned in phases)
    access = needed_access(method.item, resolved)
    plan = Plan(
        protocol=PROTOCOL,
        engine=ENGINE,
        plugin=method.item.name,
        method_version=method.item.version,
        distribution=method.distribution,
        loop=method.item.loop,
        input=InputSpec(
            dataset=spec.name,
            classes=spec.classes,
            channels=spec.channels,
            image_size=spec.image_size,
            mean=spec.mean,
            std=spec.std,
        ),
        pair=cell.pair,
        teachers=tuple(
            PlannedTeacher(name=name, sha256=sha256, model=planned_model(cell.teacher))
            for name, sha256 in teachers.items()
        ),
        student=planned_model(cell.student),
        budget=PlannedBudget(name=cell.budget_name, **asdict(cell.budget)),
        seed=seed,
        device=device,
        recipe=recipe,
        slots={slot: _planned_part(part) for slot, part in resolved.slots.items()},
        losses={name: _planned_part(part) for name, part in resolved.losses.items()},
        student_losses={name: _planned_part(part) for name, part in resolved.student_losses.items()},
        phases=phases,
        generator_steps=sum(planned.rounds * planned.phase.generator_steps for planned in phases),
        student_steps=student_steps,
        replay_size=replay_size,
        evaluate_at=_evaluation_points(student_steps, cell.budget.evaluations),
        access=tuple(sorted(access)),
        league=league_of(access),
        side="judge" if "real_samples" in access else "worker",
        test_set_sha256=test_set_sha256,
    )
    return plan


def planned_model(owned: Owned[ModelSpec]) -> PlannedModel:
    """An architecture for a plan."""
    model = owned.item
    return PlannedModel(name=model.name, target=model.target, version=model.version, distribution=owned.distribution)


def _planned_part(part: ResolvedPart) -> PlannedPart:
    component = part.component
    return PlannedPart(
        kind=component.kind,
        name=component.name,
        target=component.target,
        options_type=f"{component.options.__module__}:{component.options.__qualname__}",
        options=part.options,
        weight=part.weight,
        needs=tuple(sorted(component.needs)),
        provides=tuple(sorted(component.provides)),
        version=component.version,
        distribution=part.owned.distribution,
    )


def _count_rounds(recipe: Recipe, cell: Cell, samples_per_step: int) -> tuple[PlannedPhase, ...]:
    """Fixes the rounds of every phase: given, or as many as the budget's student samples allow."""
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
    planned = []
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
        planned.append(PlannedPhase(name=name, rounds=rounds, phase=phase))
    total = sum(entry.rounds * entry.phase.student_steps for entry in planned) * samples_per_step
    if total == 0:
        raise PlanError("No phase of the recipe trains the student. Give one student_steps of at least 1.")
    if cell.budget.student_samples and total > cell.budget.student_samples:
        raise PlanError(
            f"The recipe trains the student on {total:,} images; the budget '{cell.budget_name}' of "
            f"{cell.dataset.item.name} allows {cell.budget.student_samples:,}."
        )
    return tuple(planned)


def _evaluation_points(student_steps: int, evaluations: int) -> tuple[int, ...]:
    count = max(1, min(evaluations, student_steps))
    return tuple(math.ceil(student_steps * (index + 1) / count) for index in range(count))

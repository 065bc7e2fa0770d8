"""The plan of a run: everything that can change its number, resolved and checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from dfkdbench import PROTOCOL
from dfkdbench.compatibility import check_parts, check_sizes, league_of, needed_access, trains_on_real_samples
from dfkdbench.config import Resolved, ResolvedPart
from dfkdbench.descriptors import LABEL_ACCESS, TEACHER_ACCESS, Budget, DatasetSpec, Method, ModelSpec
from dfkdbench.files import canonical_json, sha256_of
from dfkdbench.recipe import Phase, PlannedRecipe
from dfkdbench.registry import Owned
from dfkdbench.rounds import count_rounds, evaluation_points
from dfkdbench.sharing import ONE_PROCESS, BatchStatistics, Sharing, check_sharing

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

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, self.image_size, self.image_size)


class PlannedPhase(_Frozen):
    """A phase with its rounds counted."""

    name: str
    rounds: int
    phase: Phase


class Plan(_Frozen):
    """A resolved run. Its id is the hash of everything here that can change the number.

    Attributes:
        evaluate_at: Student steps after which a snapshot is handed out, rising; the last is the end.
        side: "worker", or "judge" for controls that train on real samples.
        readout_samples_sha256: Fingerprint of the labelled real samples that a readout is fitted on. Not written where
            there is no readout, so that it enters the id of no other run.
        processes: How many do the run together. Not written where there is one, for the same reason.
        batch_statistics: See `dfkdbench.sharing.Sharing`. None where there is one process.
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
    readout_samples_sha256: str | None = None
    processes: int = 1
    batch_statistics: BatchStatistics | None = None

    @model_serializer(mode="wrap")
    def _leave_out_what_is_not_there(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        tree: dict[str, Any] = write(self)
        if tree["readout_samples_sha256"] is None:
            del tree["readout_samples_sha256"]
        if tree["processes"] == 1:
            del tree["processes"], tree["batch_statistics"]
        return tree

    @property
    def readout(self) -> PlannedPart | None:
        """The aggregator that the judge fits to the student's heads once the worker has ended, where it is one."""
        aggregator = self.slots["aggregator"]
        return aggregator if "readout" in aggregator.provides else None

    @property
    def limits(self) -> dict[str, int]:
        """The most that may be counted, by the name of the count; 0 for no limit. Teachers have queries each."""
        budget = self.budget
        return {
            "student_samples": budget.student_samples,
            "teacher_queries": budget.teacher_queries * len(self.teachers),
        }

    @property
    def teachers_apart(self) -> bool:
        """Whether the teachers answer from a process of their own: where labels are all that may be seen of them."""
        return self.side == "worker" and {*TEACHER_ACCESS} & {*self.access} <= LABEL_ACCESS

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
    readout_samples_sha256: str | None = None,
    sharing: Sharing = ONE_PROCESS,
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
    rounds = count_rounds(recipe, cell, recipe.batch_size + replay_size)
    phases = tuple(PlannedPhase(name=name, rounds=rounds[name], phase=phase) for name, phase in recipe.phases.items())
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
        evaluate_at=evaluation_points(student_steps, cell.budget.evaluations),
        access=tuple(sorted(access)),
        league=league_of(access),
        side="judge" if trains_on_real_samples(method.item, resolved) else "worker",
        test_set_sha256=test_set_sha256,
        readout_samples_sha256=readout_samples_sha256,
        processes=sharing.processes,
        batch_statistics=sharing.settled(),
    )
    check_sharing(plan)
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

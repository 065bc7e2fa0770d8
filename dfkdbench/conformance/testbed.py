"""Short runs of a subject on the toy task: in the company it needs, or in one that is asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from dfkdbench import __version__
from dfkdbench.assembly import Assembly
from dfkdbench.bench import Prepared, Request
from dfkdbench.config import Resolved, Setting, resolve
from dfkdbench.conformance.checks import DoesNotApply
from dfkdbench.conformance.subjects import Subject
from dfkdbench.conformance.task import TOY_STUDENT, TOY_STUDENT_HEADS, TOY_TEACHER, Task, teacher_weights, teachers_of
from dfkdbench.controls import CONTROLS
from dfkdbench.datasets.images import ImageSet
from dfkdbench.descriptors import Method
from dfkdbench.errors import PlanError
from dfkdbench.files import sha256_of
from dfkdbench.plan import Cell, Plan, PlannedPhase, make_plan
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench.registry import CORE, Owned
from dfkdbench.weights import dump_weights

CPU = torch.device("cpu")
TASK = Task()
TIER = "smoke"
BATCH = 16
REAL_IMAGES = 256

SMALL_CONV = PartChoice(name="conv", options={"latent": 16, "channels": (16, 16, 8)})
LABELLED = PartChoice(name="pixels")


@dataclass(frozen=True)
class Company:
    """What stands around a subject: generator, number of teachers, student with several heads or one."""

    generator: PartChoice = SMALL_CONV
    teachers: int = 1
    heads: bool = False

    def __str__(self) -> str:
        teachers = "one teacher" if self.teachers == 1 else f"{self.teachers} teachers"
        return f"{self.generator.name}, {teachers}" + (", a student with heads" if self.heads else "")


COMPANIES = (
    Company(),
    Company(LABELLED),
    Company(teachers=3, heads=True),
    Company(LABELLED, teachers=3, heads=True),
)
"""Tried in this order, the plainest first."""


def method_around(
    subject: Subject, company: Company, losses: Iterable[str] = ("one_hot", "class_entropy"), student: str = "kl"
) -> Owned[Method]:
    """A method of neutral parts with the subject in its slot; a subject that is a method is taken as it is.

    Args:
        losses: Image losses, where the subject is none.
        student: Student loss, where the subject is none.
    """
    if subject.kind == "method":
        owned: Owned[Method] = subject.owned
        return owned
    choice = PartChoice(name=subject.spelling)
    slots: dict[str, Any] = {"generator": company.generator, "aggregator": PartChoice(name="mean")}
    slots["losses"] = {name: LossChoice() for name in losses}
    slots["student_losses"] = {student: LossChoice()}
    if subject.kind == "loss":
        group = "losses" if subject.item.role == "image" else "student_losses"
        slots[group] = {subject.spelling: LossChoice()}
    else:
        slots[subject.kind] = choice
    recipe = Recipe(
        **slots,
        batch_size=BATCH,
        student=OptimizerOptions(lr=5e-3),
        phases={"distil": Phase(generator_steps=2, student_steps=2)},
    )
    return Owned(replace(CONTROLS[0], recipe=recipe, presets=()), CORE, __version__, __name__)


def resolve_around(
    method: Owned[Method], subject: Subject, company: Company, overrides: Iterable[Setting] = ()
) -> tuple[Resolved, Cell]:
    """A method's recipe on the toy task, its batch small, and the cell."""
    student = TOY_STUDENT_HEADS if company.heads else TOY_STUDENT
    spec = TASK.spec()
    cell = Cell(spec, TOY_TEACHER, student, TIER, spec.item.budgets[TIER])
    first: list[Setting] = [("batch_size", BATCH, "--set")]
    if company.teachers > 1:
        first.append(("aggregator", "mean", "--teachers"))
    if subject.kind == "aggregator":
        first = [setting for setting in first if setting[0] != "aggregator"]
    names = (spec.item.name, cell.pair, TIER)
    return resolve(subject.registry, method.item, names, (*first, *overrides)), cell


def plan_around(
    subject: Subject,
    company: Company,
    task: Task = TASK,
    overrides: Iterable[Setting] = (),
    method: Owned[Method] | None = None,
) -> Plan:
    """A plan of the subject on a toy task.

    Raises:
        PlanError: The subject does not go with this company.
    """
    method = method or method_around(subject, company)
    resolved, cell = resolve_around(method, subject, company, overrides)
    cell = replace(cell, dataset=task.spec())
    teachers = {bundle.name: bundle.sha256 for bundle in teachers_of(task, company.teachers)}
    return make_plan(method, resolved, cell, teachers, 0, "cpu", "0" * 64)


def shorten(plan: Plan, rounds: int = 2, student_steps: int = 2, generator_steps: int = 2) -> Plan:
    """The plan with no more rounds a phase, and steps a round, than these."""

    def short(planned: PlannedPhase) -> PlannedPhase:
        phase = planned.phase
        steps = {
            "generator_steps": min(phase.generator_steps, generator_steps),
            "student_steps": min(phase.student_steps, student_steps),
        }
        return planned.model_copy(
            update={"rounds": min(planned.rounds, rounds), "phase": phase.model_copy(update=steps)}
        )

    phases = tuple(map(short, plan.phases))
    return plan.model_copy(
        update={
            "phases": phases,
            "generator_steps": sum(one.rounds * one.phase.generator_steps for one in phases),
            "student_steps": sum(one.rounds * one.phase.student_steps for one in phases),
        }
    )


def assemble(plan: Plan, task: Task = TASK) -> Assembly:
    """Everything of a plan on a toy task, with real samples where it is a control that takes them."""
    real = task.draw(REAL_IMAGES, seed=1) if plan.side == "judge" else None
    return Assembly(plan, teacher_weights(task, len(plan.teachers)), CPU, real)


def run_to_end(assembly: Assembly) -> Assembly:
    """Runs every round that is left."""
    while not assembly.loop.done:
        assembly.loop.advance()
    return assembly


def student_hash(assembly: Assembly) -> str:
    """sha256 of the student's weights."""
    return sha256_of(dump_weights(assembly.student))


def home_of(subject: Subject) -> Company:
    """The first company that the subject goes with.

    Raises:
        DoesNotApply: It goes with none; that is what the check `composes` is about.
    """
    found = _home(subject.registry, subject.kind, subject.spelling)
    if isinstance(found, Company):
        return found
    raise DoesNotApply(f"no combination that was tried takes it. {found}")


def home_plan(subject: Subject, task: Task = TASK, **lengths: int) -> Plan:
    """A short plan of the subject in the company that suits it."""
    return shorten(plan_around(subject, home_of(subject), task), **lengths)


@functools.cache
def _home(registry: Any, kind: str, spelling: str) -> Company | str:
    """The company, or the refusals of all."""
    subject = Subject(kind, spelling, registry.shelf(kind).get(spelling), registry)
    refusals: dict[str, str] = {}
    for company in COMPANIES:
        try:
            assemble(shorten(plan_around(subject, company)))
        except PlanError as refusal:
            refusals[str(company)] = refusal.message
            continue
        except Exception:  # taken, and broken: the checks that run it say how
            return company
        return company
    return " ".join(f"With {company}: {refusal}" for company, refusal in refusals.items())


def prepared_toy(subject: Subject, company: Company, test_set: ImageSet) -> Prepared:
    """What a judge needs to run a subject on the toy task."""
    method = method_around(subject, company)
    resolved, cell = resolve_around(method, subject, company)
    request = Request(plugin=method.item.name, dataset=cell.dataset.item.name, threads=1, device="cpu")
    teachers = teachers_of(TASK, company.teachers)
    return Prepared(request, subject.registry, method, resolved, cell, "cpu", test_set, teachers)


def with_access(plan: Plan, access: Iterable[str]) -> Plan:
    """The plan with other access to the teacher."""
    return plan.model_copy(update={"access": tuple(sorted(access))})


def built_ins(subject: Subject, kind: str) -> Mapping[str, Any]:
    """The core's own parts of a kind that take no real samples, by name."""
    return {
        name: owned.item
        for name, owned in subject.registry.components[kind].items()
        if owned.distribution == CORE and "real_samples" not in owned.item.needs
    }

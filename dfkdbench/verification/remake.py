"""A stored plan, made again from what is installed: only code that is known here by name is ever built or run.

A plan names its code by import path. One that came from elsewhere could name any function there is, so nothing in it is
imported before the plan that this installation makes of the same recipe is equal to it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from dfkdbench.bench import Prepared, Request
from dfkdbench.compatibility import refuse_foreign_real_samples
from dfkdbench.config import Resolved, resolve
from dfkdbench.datasets.images import ImageSet, TensorImages, make_resident
from dfkdbench.datasets.loading import load_dataset, read_fingerprint
from dfkdbench.descriptors import Method, ModelSpec
from dfkdbench.devices import available_cores
from dfkdbench.errors import DfkdbenchError, IntegrityError
from dfkdbench.models.settling import settle
from dfkdbench.plan import Cell, Plan, PlannedModel, make_plan
from dfkdbench.readout import take_samples
from dfkdbench.recipe import LossChoice, Recipe
from dfkdbench.registry import Owned, Registry
from dfkdbench.sharing import Sharing
from dfkdbench.shortcuts import SHORTCUTS
from dfkdbench.teachers.card import TeacherBundle, hash_file
from dfkdbench.teachers.store import TeacherStore
from dfkdbench.verification.stored import first_difference

SHORT_TIER = "smoke"
_FEWEST_ROUNDS = 2


@dataclass(frozen=True)
class Remade:
    """A plan that this installation makes too, and what that takes."""

    plan: Plan
    registry: Registry
    method: Owned[Method]
    resolved: Resolved
    cell: Cell
    data_root: Path | None = None
    test_set: ImageSet | None = field(default=None, repr=False)

    def load_test_set(self, device: torch.device | str) -> ImageSet:
        """The test set on a device.

        Raises:
            DataError: It is not there.
            IntegrityError: It is not the one of the plan.
        """
        images = load_dataset(self.cell.dataset.item, self.data_root, train=False)
        found, expected = read_fingerprint(images), self.plan.test_set_sha256
        if found != expected:
            raise IntegrityError(
                f"The test set of {self.plan.input.dataset} here has the fingerprint {found[:12]}..., the plan says "
                f"{expected[:12]}...: other images."
            )
        return make_resident(images, device)

    def load_readout_samples(self) -> TensorImages | None:
        """The labelled training images that the plan's readout is fitted on, where it has one.

        Raises:
            IntegrityError: They are not those of the plan.
        """
        if self.plan.readout is None:
            return None
        samples = take_samples(self.plan.readout, load_dataset(self.cell.dataset.item, self.data_root, train=True))
        if samples.fingerprint() != self.plan.readout_samples_sha256:
            raise IntegrityError("The training images that the readout is fitted on are others here than in the plan.")
        return samples

    def find_teachers(self) -> list[TeacherBundle]:
        """The teachers of the plan, by name or hash.

        Raises:
            DfkdbenchError: One is not here, or its weights were changed.
        """
        return [_find_teacher(planned.name, planned.sha256) for planned in self.plan.teachers]

    def prepare(self, threads: int | None, device: str, shortcuts: Collection[str] = SHORTCUTS) -> Prepared:
        """All that a judge needs to run the plan.

        Args:
            threads: Of the worker, or None for all cores.
            shortcuts: Of `dfkdbench.shortcuts`, those of the run.
        """
        request = Request(
            plugin=self.plan.plugin,
            dataset=self.plan.input.dataset,
            data_root=self.data_root,
            threads=threads or available_cores(),
            shortcuts=tuple(name for name in SHORTCUTS if name in shortcuts),
        )
        return Prepared(
            request,
            self.registry,
            self.method,
            self.resolved,
            self.cell,
            device,
            self.load_test_set(device),
            self.find_teachers(),
            self.load_readout_samples(),
        )

    def short_plan(self) -> Plan:
        """The same method and settings for the shortest tier, or two rounds; phases of a fixed length in proportion.

        Raises:
            PlanError: The method can't be run that short.
        """
        plan, tier = self.plan, self.cell.dataset.item.budgets.get(SHORT_TIER)
        a_step = plan.recipe.batch_size + plan.replay_size
        whole = plan.student_steps * a_step
        if tier is None or whole <= tier.student_samples:
            return plan
        phases, needed = {}, 0
        recipe = _recipe_of(plan)
        for name, phase in recipe.phases.items():
            rounds = None if phase.rounds is None else max(1, phase.rounds * tier.student_samples // whole)
            phases[name] = phase.model_copy(update={"rounds": rounds})
            needed += (rounds or _FEWEST_ROUNDS) * phase.student_steps * a_step
        samples = max(tier.student_samples, needed)
        budget = replace(tier, student_samples=samples, teacher_queries=plan.budget.teacher_queries)
        cell = replace(self.cell, budget_name=SHORT_TIER, budget=budget)
        return _make(plan, self.registry, cell, self.method, recipe.model_copy(update={"phases": phases}))[0]


def remake(plan: Plan, registry: Registry, data_root: Path | None) -> Remade:
    """The same plan from what is installed.

    Raises:
        DfkdbenchError: What it names is not installed, or does not fit together.
        IntegrityError: This installation makes another plan of the same recipe.
    """
    method = _owned_method(registry, plan)
    dataset = registry.datasets.get(plan.input.dataset)
    budgets = dataset.item.budgets
    if plan.budget.name not in budgets:
        raise IntegrityError(
            f"The data set {dataset.item.name} has no budget '{plan.budget.name}': {', '.join(budgets)}."
        )
    recipe = _recipe_of(plan)
    models = (_model(registry, planned) for planned in (plan.teachers[0].model, plan.student))
    teacher, student = (settle(model, dataset.item) if model.item.family else model for model in models)
    cell = Cell(dataset, teacher, student, plan.budget.name, budgets[plan.budget.name])
    again, resolved = _make(plan, registry, cell, method, recipe)
    if difference := first_difference(plan.model_dump(mode="json"), again.model_dump(mode="json")):
        raise IntegrityError(
            f"This installation makes another plan of this recipe: {difference}. Either plan.json was changed, or it "
            "was made by other versions (see env.json); install those to go on."
        )
    return Remade(plan, registry, method, resolved, cell, data_root)


def _make(plan: Plan, registry: Registry, cell: Cell, method: Owned[Method], recipe: Recipe) -> tuple[Plan, Resolved]:
    """The plan of a recipe in a cell; all else as in a given plan."""
    frozen = replace(method.item, recipe=recipe, presets=())
    resolved = resolve(registry, frozen, (cell.dataset.item.name, cell.pair, cell.budget_name))
    refuse_foreign_real_samples(method, resolved)
    teachers = {teacher.name: teacher.sha256 for teacher in plan.teachers}
    samples = plan.readout_samples_sha256
    sharing = Sharing(plan.processes, plan.batch_statistics)
    made = make_plan(method, resolved, cell, teachers, plan.seed, plan.device, plan.test_set_sha256, samples, sharing)
    return made, resolved


def _recipe_of(plan: Plan) -> Recipe:
    """The recipe that gave a plan.

    Its phases are in the plan's order, which a file with sorted keys does not keep; with weight 0 it has the losses
    that phases name and the plan left out.
    """
    phases = {planned.name: planned.phase for planned in plan.phases}
    named = {name for phase in phases.values() for name in phase.losses or ()}
    left_out = {name: LossChoice(weight=0.0) for name in named - set(plan.recipe.losses)}
    return plan.recipe.model_copy(update={"phases": phases, "losses": {**plan.recipe.losses, **left_out}})


def _owned_method(registry: Registry, plan: Plan) -> Owned[Method]:
    """The method, from the distribution that the plan names; an unknown one is told by its own name."""
    owners = {owned.distribution for _, owned in registry.methods.items() if owned.item.name == plan.plugin}
    return registry.methods.get(f"{plan.distribution}:{plan.plugin}" if plan.distribution in owners else plan.plugin)


def _model(registry: Registry, planned: PlannedModel) -> Owned[ModelSpec]:
    owners = {owned.distribution for _, owned in registry.models.items() if owned.item.name == planned.name}
    return registry.models.get(
        f"{planned.distribution}:{planned.name}" if planned.distribution in owners else planned.name
    )


def _find_teacher(name: str, sha256: str) -> TeacherBundle:
    store = TeacherStore.default()
    found = [bundle for bundle in store.all() if bundle.sha256 == sha256]
    if not found:
        raise DfkdbenchError(
            f"The teacher {name} (sha256 {sha256[:12]}...) is not here. List those that are with: "
            "dfkdbench teacher list"
        )
    bundle = next((bundle for bundle in found if bundle.name == name), found[0])
    if hash_file(bundle.weights) != sha256:
        raise IntegrityError(f"{bundle.weights} does not have the hash on its card: it was changed or damaged.")
    return bundle

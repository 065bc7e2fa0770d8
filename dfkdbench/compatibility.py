"""Which parts work together: needs against what teacher, generator and recipe provide, and the league they make."""

from __future__ import annotations

from dfkdbench.config import Resolved, ResolvedPart
from dfkdbench.descriptors import ACCESS_BEHIND, PRIORS, TEACHER_ACCESS, Component, DatasetSpec, Method, ModelSpec
from dfkdbench.errors import PlanError
from dfkdbench.recipe import Phase
from dfkdbench.registry import CORE, Owned

_HONOURABLE = {"generator", "losses", "combiner", "replay", "aggregator", "student_update"}
"""What a loop of a method's own may leave unused."""

_OF_GENERATORS = {
    "labels": "labelled images",
    "network": "a network of latents",
    "latents": "latents that can be used again",
}
"""What a generator may provide, in words."""


def needed_access(method: Method, resolved: Resolved) -> frozenset[str]:
    """What the run may see of the teacher and of the world: the method's own needs and its parts'."""
    needs = set(method.access)
    for part in resolved.parts():
        needs |= part.component.needs
    named = {ACCESS_BEHIND.get(need, need) for need in needs}
    return frozenset(named & {*TEACHER_ACCESS, *PRIORS})


def trains_on_real_samples(method: Method, resolved: Resolved) -> bool:
    """Whether real samples take part in the training itself. Those of a readout come after it."""
    parts = [part.component for part in resolved.parts() if "readout" not in part.component.provides]
    return "real_samples" in method.access or any("real_samples" in component.needs for component in parts)


def refuse_foreign_real_samples(method: Owned[Method], resolved: Resolved) -> None:
    """Real samples stay on the judge's side, where only the core's own code sees them with their labels.

    Nobody else's code sees those of a readout, which is fitted when method and parts have ended.
    """
    parts = list(resolved.parts())
    seeing = {part.owned.distribution for part in parts if "readout" in part.component.provides}
    if trains_on_real_samples(method.item, resolved):
        seeing = {method.distribution, *(part.owned.distribution for part in parts)}
    if foreign := seeing - {CORE}:
        raise PlanError(
            f"Real samples are for the core's own code only; that of {', '.join(sorted(foreign))} would see them here."
        )


def league_of(access: frozenset[str]) -> str:
    """The most that is seen of the teacher, and every prior: results are ranked within a league only."""
    seen = [level for level in TEACHER_ACCESS if level in access]
    priors = [prior for prior in PRIORS if prior in access]
    return "+".join([*seen[-1:], *priors]).replace("_", "-") or "none"


def check_sizes(dataset: DatasetSpec, *models: ModelSpec) -> None:
    """Refuses models that don't take the data set's images.

    Raises:
        PlanError: With the sizes that the model takes.
    """
    for model in models:
        if model.image_sizes and dataset.image_size not in model.image_sizes:
            sizes = " or ".join(map(str, model.image_sizes))
            raise PlanError(
                f"The model '{model.name}' takes images of {sizes} pixels; those of {dataset.name} have "
                f"{dataset.image_size}. Choose another --pair, for example {dataset.pairs[0]} (dfkdbench list models)."
            )


def check_parts(method: Method, resolved: Resolved, teacher: ModelSpec, student: ModelSpec, teacher_count: int) -> None:
    """Refuses combinations that can't work.

    Raises:
        PlanError: With the need that is not met and what would meet it.
    """
    if method.loop is not None:
        _check_honoured(method, resolved)
    for part in resolved.parts():
        _check_needs(part, resolved.slots["generator"].component, teacher, student, teacher_count)
    _check_phases(resolved)
    _check_remembered_labels(resolved)
    _check_student_update(resolved)
    if not resolved.student_losses:
        raise PlanError("No student loss is left. Add one, for example --loss kl.")
    if teacher_count > 1 and resolved.slots["aggregator"].component.name == "first":
        raise PlanError(
            f"{teacher_count} teachers were asked for, and the aggregator 'first' listens to one. "
            "Say --aggregator mean (dfkdbench list aggregators)."
        )


def _check_needs(
    part: ResolvedPart, generator: Component, teacher: ModelSpec, student: ModelSpec, teacher_count: int
) -> None:
    """Refuses a part whose needs are not met."""
    needs = part.component.needs
    title = f"The {part.component.kind} '{part.component.name}'"
    if needs & {"batch_norm", "batch_norm_means"} and "batch_norm" not in teacher.signals:
        raise PlanError(
            f"{title} needs batch-norm statistics, and the teacher '{teacher.name}' has no batch norm. "
            f"Choose a pair whose teacher has it (dfkdbench list models), or leave the loss out{_without(part)}."
        )
    for signal in ("features", "stages", "heads"):
        if signal in needs and signal not in teacher.signals:
            raise PlanError(f"{title} needs the teacher's {signal}, which the model '{teacher.name}' does not give.")
        if f"student_{signal}" in needs and signal not in student.signals:
            raise PlanError(
                f"{title} needs the student's {signal}, which the model '{student.name}' does not give. "
                "Choose a --pair whose student does (dfkdbench list models)."
            )
    if "several_teachers" in needs and teacher_count < 2:
        raise PlanError(f"{title} needs several teachers; there is {teacher_count}. Say --teachers 3.")
    if (
        part.component.kind == "loss"
        and {"several_teachers", "student_heads"} <= needs
        and student.heads != teacher_count
    ):
        raise PlanError(
            f"{title} pairs each head of the student with a teacher; '{student.name}' has {student.heads} heads and "
            f"there are {teacher_count} teachers. Say --teachers {student.heads}, or choose another --pair "
            "(dfkdbench list models)."
        )
    for need, words in _OF_GENERATORS.items():
        if need in needs and need not in generator.provides:
            raise PlanError(f"{title} needs {words}, and the generator '{generator.name}' gives none.")


def _check_phases(resolved: Resolved) -> None:
    """Refuses phases whose student images can't be had, or that train the generator under no loss."""
    generator = resolved.slots["generator"].component
    for name, phase in resolved.recipe.phases.items():
        if resolved.losses and phase.generator_steps and not _losses_of(phase, resolved):
            raise PlanError(
                f"Phase '{name}' trains the generator, and none of its losses ({', '.join(phase.losses or ())}) is "
                f"left. Put one back, or leave the steps out as well: --set phases.{name}.generator_steps=0."
            )
        if phase.student_images not in ("shared", "remade"):
            continue
        if phase.order == "student_first" or not phase.generator_steps:
            raise PlanError(
                f"Phase '{name}' has student_images={phase.student_images}, which needs a generator step before the "
                "student step in the round. Say order=generator_first and generator_steps of at least 1, or "
                "student_images=fresh."
            )
        if phase.student_images == "remade" and "latents" not in generator.provides:
            raise PlanError(
                f"Phase '{name}' has student_images=remade, and the generator '{generator.name}' can't make its last "
                f"images anew. Say --set phases.{name}.student_images=held."
            )


def _losses_of(phase: Phase, resolved: Resolved) -> list[str]:
    return [name for name in resolved.losses if phase.losses is None or name in phase.losses]


def _check_remembered_labels(resolved: Resolved) -> None:
    """Refuses losses on labels where a part of the student's batch would have none."""
    replay = resolved.slots["replay"].component
    needy = [name for name, part in resolved.student_losses.items() if "labels" in part.component.needs]
    if needy and replay.name != "none" and "labels" not in replay.provides:
        raise PlanError(
            f"The loss '{needy[0]}' needs labelled images, and the replay '{replay.name}' remembers no labels. "
            "Choose another replay (dfkdbench list replays) or a student loss that needs no labels."
        )


def _check_student_update(resolved: Resolved) -> None:
    """Refuses updates that lack something to work on, and options of an update that was not chosen."""
    update = resolved.recipe.student_update
    if update.kind == "joint":
        idle = [name for name, value in update if value != type(update).model_fields[name].default]
        if idle:
            raise PlanError(
                f"student_update.{idle[0]} is set, and student_update.kind=joint does not use it. "
                "Say --set student_update.kind=meta_retain."
            )
        return
    title = f"student_update.kind={update.kind}"
    if resolved.recipe.gradient_checkpointing:
        raise PlanError(
            f"{title} passes images through weights that the student never has, and gradient_checkpointing=true "
            "computes passes again from those that it has. Leave one of the two out."
        )
    if resolved.slots["replay"].component.name == "none":
        raise PlanError(
            f"{title} weighs what the student retains of replayed images, and the replay 'none' has no images. "
            "Choose another --replay (dfkdbench list replays), or say --set student_update.kind=joint."
        )
    if update.meta_grad == "none" and update.plain_images == "fresh":
        raise PlanError(
            f"{title} with meta_grad=none and plain_images=fresh teaches the student nothing about replayed images. "
            "Say student_update.meta_grad=full or student_update.plain_images=joint."
        )
    for name, part in resolved.student_losses.items():
        if "batch_norm" in part.component.needs:
            raise PlanError(
                f"{title} looks at fresh and replayed images apart, and the loss '{name}' needs the teacher's "
                f"batch-norm statistics, which belong to both together. Leave it out{_without(part)}, or say "
                "--set student_update.kind=joint."
            )


def _without(part: ResolvedPart) -> str:
    return f" (--loss {part.component.name}=0)" if part.component.kind == "loss" else ""


def _check_honoured(method: Method, resolved: Resolved) -> None:
    overridden = {key.split(".")[0] for key, origin in resolved.origins.items() if origin.startswith("--")}
    ignored = (overridden & _HONOURABLE) - method.honours
    if ignored:
        raise PlanError(
            f"'{method.name}' runs a loop of its own that does not use {', '.join(sorted(ignored))}; "
            f"it honours {', '.join(sorted(method.honours)) or 'no slot'}."
        )

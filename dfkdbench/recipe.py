"""The typed configuration of a run: which part sits in which slot, with which options, for how long."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, WrapSerializer


class Options(BaseModel):
    """Base of every option model: strict types, unknown keys refused, frozen once made."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class OptimizerOptions(Options):
    """An optimiser and its schedule. Milestones and warm-up are fractions of the planned steps."""

    kind: Literal["sgd", "adam", "adamw"] = Field("adam", description="Optimiser.")
    lr: float = Field(1e-3, gt=0, description="Learning rate.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    nesterov: bool = Field(False, description="Nesterov momentum for SGD.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Moment decay rates of Adam.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay.")
    schedule: Literal["constant", "cosine", "multistep"] = Field("constant", description="Learning-rate schedule.")
    milestones: tuple[float, ...] = Field((), description="Fractions of the steps at which lr is multiplied by gamma.")
    gamma: float = Field(0.1, gt=0, description="Factor at each milestone.")
    warmup: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the steps over which lr rises linearly; a cosine spans the others."
    )
    clip_norm: float | None = Field(None, gt=0, description="Largest gradient norm, or none.")


class StudentUpdateOptions(Options):
    """How a student step learns from fresh and replayed images; see `dfkdbench.studentupdates`."""

    kind: Literal["joint", "meta_retain"] = Field(
        "joint",
        description="joint: the student losses over fresh and replayed images as one batch. meta_retain: in addition "
        "the student losses on the replayed images, after a virtual gradient step on the fresh ones.",
    )
    alpha: float = Field(0.9, ge=0, description="meta_retain: length of the virtual step; no momentum, no schedule.")
    inner_weight_decay: float = Field(5e-4, ge=0, description="meta_retain: weight decay of the virtual step.")
    meta_grad: Literal["full", "first_order", "none"] = Field(
        "full",
        description="meta_retain: gradient of the loss after the virtual step. full: through the step. first_order: "
        "without its second derivatives. none: no gradient; the student learns as with joint.",
    )
    plain_images: Literal["joint", "fresh"] = Field(
        "joint",
        description="meta_retain: images of the loss before the virtual step, to which the loss after it is added. "
        "joint: fresh and replayed. fresh: the fresh ones alone.",
    )


class PartChoice(Options):
    """A part for a slot, by name, with its options (checked against the part's own model)."""

    name: str = Field(description="Name of the part; see `dfkdbench list`.")
    options: dict[str, Any] = Field({}, description="Options of the part; see `dfkdbench describe NAME`.")


class LossChoice(Options):
    """A loss with its weight."""

    weight: float = Field(1.0, description="Factor before the combiner; 0 leaves the loss out.")
    options: dict[str, Any] = Field({}, description="Options of the loss.")


class Phase(Options):
    """A stretch of training: rounds of generator steps and student steps."""

    rounds: int | None = Field(None, ge=1, description="Rounds, or none: until the budget's student samples are used.")
    generator_steps: int = Field(1, ge=0, description="Steps of generator.fit in a round.")
    student_steps: int = Field(1, ge=0, description="Student steps in a round.")
    order: Literal["generator_first", "student_first"] = Field(
        "generator_first", description="Which of the two comes first in a round."
    )
    student_images: Literal["fresh", "shared", "held", "remade"] = Field(
        "fresh",
        description="Images of the student steps. fresh: a new sample each step. held: one new sample a round, its "
        "target asked for once. shared: the batch of the last generator step, made before that step's update, target "
        "reused. remade: the latents of that step through the updated generator, once a round.",
    )
    generator_mode: Literal["train", "eval"] = Field(
        "train", description="Generator mode when sampling for the student."
    )
    student_mode: Literal["train", "eval"] = Field(
        "train", description="Student mode inside the generator's objective."
    )
    losses: tuple[str, ...] | None = Field(None, description="Image losses active here, or none for all.")


class Recipe(Options):
    """A method as data.

    Keys are addressed dotted, options of a part right behind its slot: `batch_size`, `student.lr`,
    `generator.lr`, `losses.one_hot.weight`, `losses.class_entropy.log_base`, `phases.distil.rounds`.
    """

    generator: PartChoice = PartChoice(name="conv")
    losses: dict[str, LossChoice] = Field({}, description="Image losses: they train the generator.")
    combiner: PartChoice = PartChoice(name="sum")
    student_losses: dict[str, LossChoice] = Field({"kl": LossChoice()}, description="Losses of the student.")
    replay: PartChoice = PartChoice(name="none")
    replay_fraction: float = Field(0.125, gt=0, le=1, description="Replayed images as a fraction of the batch.")
    aggregator: PartChoice = PartChoice(name="first")
    batch_size: int = Field(128, ge=1, description="Fresh images in a step.")
    student: OptimizerOptions = OptimizerOptions()
    student_update: StudentUpdateOptions = StudentUpdateOptions()
    precision: Literal["fp32", "bf16"] = Field("fp32", description="Arithmetic of forward and backward passes.")
    gradient_checkpointing: bool = Field(
        False,
        description="Compute activations again in the backward pass instead of holding them: less memory, about a "
        "third more time, the same student.",
    )
    phases: dict[str, Phase] = Field({"distil": Phase()}, description="Phases in order.")


def _without_later_fields(recipe: Recipe, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
    tree: dict[str, Any] = dump(recipe)
    if recipe.student_update == StudentUpdateOptions():
        del tree["student_update"]
    if not recipe.gradient_checkpointing:
        del tree["gradient_checkpointing"]
    return tree


PlannedRecipe = Annotated[Recipe, WrapSerializer(_without_later_fields)]
"""A recipe as plans write it: a field that is younger than the first plans is left out while it is at its default, so
that the ids of runs that don't use it stay what they were."""

"""An example: a method of existing parts and one new loss. Nothing heavy is imported here."""

from __future__ import annotations

from pydantic import Field

from dfkdbench import Component, LossChoice, Method, OptimizerOptions, Options, PartChoice, Phase, Recipe, hookimpl

API = 1


class RunnerUpOptions(Options):
    """Options of `runner_up`."""

    temperature: float = Field(1.0, gt=0, description="Temperature of the probabilities of the other classes.")


RECIPE = Recipe(
    generator=PartChoice(name="conv", options={"channels": (64, 16, 16), "optimizer": {"lr": 1e-3}}),
    losses={"one_hot": LossChoice(), "class_entropy": LossChoice(weight=5.0), "runner_up": LossChoice()},
    student_losses={"kl": LossChoice(options={"temperature": 4.0})},
    batch_size=64,
    student=OptimizerOptions(kind="adam", lr=5e-3, schedule="cosine"),
    phases={"distil": Phase(student_images="shared")},
)


@hookimpl
def dfkdbench_losses() -> list[Component]:
    """The new loss."""
    needs = frozenset({"soft_labels", "input_gradients"})
    target, summary = "dfkdbench_runner_up.loss:RunnerUpLoss", "Images that differ in the classes they are not."
    return [Component("loss", "runner_up", target, summary, RunnerUpOptions, role="image", needs=needs)]


@hookimpl
def dfkdbench_methods() -> list[Method]:
    """The method."""
    return [Method("runner_up", "Confident, balanced images whose runner-up classes differ.", RECIPE)]

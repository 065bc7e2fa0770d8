"""Any part on any method: every pair of what is installed trains for two rounds, or is refused for a known reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dfkdbench.assembly import Assembly
from dfkdbench.bench import Request, prepare
from dfkdbench.cli.console import Console
from dfkdbench.errors import PlanError
from dfkdbench.plan import Plan
from dfkdbench.registry import load_registry

REGISTRY = load_registry()
REAL = "real"
"""The generator of the controls that are not data-free: it has images on the judge's side only."""

METHODS = sorted({owned.item.name for _, owned in REGISTRY.methods.items() if owned.item.recipe.generator.name != REAL})
GENERATORS = sorted(set(REGISTRY.components["generator"].names()) - {REAL})
IMAGE_LOSSES = sorted(name for name, owned in REGISTRY.components["loss"].items() if owned.item.role == "image")
STUDENT_LOSSES = sorted(name for name, owned in REGISTRY.components["loss"].items() if owned.item.role == "student")
STUDENTS = (
    ("lenet_s:lenet_xs", 1),
    ("resnet_s:resnet_xs", 1),
    ("lenet_s:mh3_lenet_xs", 3),
    ("resnet_s:mh3_resnet_xs", 3),
)
"""Pairs with a number of teachers, plainest first; a method runs on the first that suits its own recipe."""

NO_LABELS_KEPT = "remembers no labels"
NO_NETWORK = "needs a network of latents"
NO_LABELS_MADE = "needs labelled images"
UNLIKE_FEATURES = "compares feature vectors of one length"
NO_HEADS = "needs the student's heads"
FIRST_OF_MANY = "the aggregator 'first' listens to one"


def train_for_two_rounds(plan: Plan, weights: list[Path]) -> None:
    """Runs every phase with at most two rounds and two generator steps in each; the student must have moved."""
    phases = tuple(
        planned.model_copy(
            update={
                "rounds": min(planned.rounds, 2),
                "phase": planned.phase.model_copy(update={"generator_steps": min(planned.phase.generator_steps, 2)}),
            }
        )
        for planned in plan.phases
    )
    assembly = Assembly(plan.model_copy(update={"phases": phases}), weights, torch.device("cpu"))
    before = [parameter.detach().clone() for parameter in assembly.student.parameters()]
    while not assembly.loop.done:
        assembly.loop.advance()
    after = list(assembly.student.parameters())
    assert all(parameter.isfinite().all() for parameter in after)
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


def attempt(plugin: str, pair: str, teachers: int, **request: object) -> str:
    """Trains a combination; gives the reason where it is refused, and nothing where it works."""
    settings = ("batch_size=16", *request.pop("settings", ()))  # type: ignore[misc]
    asked = Request(
        plugin=plugin,
        dataset="digits",
        pair=pair,
        budget="quick",
        device="cpu",
        teacher_count=teachers,
        settings=settings,
        **request,  # type: ignore[arg-type]
    )
    try:
        prepared = prepare(asked, Console(), REGISTRY)
        train_for_two_rounds(prepared.plan(0), [bundle.weights for bundle in prepared.teachers])
    except PlanError as refusal:
        return str(refusal)
    return ""


def home_of(plugin: str) -> tuple[str, int]:
    """The first pair and number of teachers on which a method works as it is."""
    refusals = []
    for pair, teachers in STUDENTS:
        refusal = attempt(plugin, pair, teachers)
        if not refusal:
            return pair, teachers
        refusals.append(refusal)
    raise AssertionError(f"{plugin} works nowhere: {refusals}")


@pytest.mark.parametrize("plugin", METHODS)
def test_compose__every_replay_on_every_method(plugin: str) -> None:
    pair, teachers = home_of(plugin)
    for replay, owned in REGISTRY.components["replay"].items():
        refusal = attempt(plugin, pair, teachers, replay=replay)
        reasons = [NO_LABELS_KEPT] * (replay != "none") + [NO_NETWORK] * ("network" in owned.item.needs)
        assert not refusal or any(reason in refusal for reason in reasons), f"{plugin} with {replay}: {refusal}"


@pytest.mark.parametrize("loss", STUDENT_LOSSES)
def test_compose__every_student_loss_on_every_replay_under_the_retaining_update(loss: str) -> None:
    needs = REGISTRY.components["loss"].get(loss).item.needs
    several = "several_teachers" in needs
    pair, teachers = STUDENTS[3] if several else STUDENTS[1]
    for replay in set(REGISTRY.components["replay"].names()) - {"none"}:
        refusal = attempt(
            "random-generator",
            pair,
            teachers,
            generator="conv",
            replay=replay,
            losses=(loss,),
            aggregator="mean" if several else None,
            settings=("student_update.kind=meta_retain", "student_update.alpha=0.01"),
        )
        reasons = [NO_LABELS_MADE] * ("labels" in needs) + [UNLIKE_FEATURES] * ("student_features" in needs)
        assert not refusal or any(reason in refusal for reason in reasons), f"{loss} with {replay}: {refusal}"


@pytest.mark.parametrize("generator", GENERATORS)
def test_compose__every_image_loss_on_every_generator(generator: str) -> None:
    provides = REGISTRY.components["generator"].get(generator).item.provides
    for loss in IMAGE_LOSSES:
        needs = REGISTRY.components["loss"].get(loss).item.needs
        several = "several_teachers" in needs
        pair, teachers = STUDENTS[3] if several else STUDENTS[1]
        refusal = attempt(
            "noise",
            pair,
            teachers,
            generator=generator,
            losses=(loss,),
            settings=("phases.distil.generator_steps=1",),
        )
        reasons = [NO_LABELS_MADE] * ("labels" in needs and "labels" not in provides)
        assert not refusal or any(reason in refusal for reason in reasons), f"{generator} with {loss}: {refusal}"


@pytest.mark.parametrize("plugin", METHODS)
def test_compose__every_aggregator_on_every_method(plugin: str) -> None:
    pair, _ = home_of(plugin)
    heads = REGISTRY.models.get(pair.partition(":")[2]).item.heads
    for aggregator, owned in REGISTRY.components["aggregator"].items():
        refusal = attempt(plugin, pair, 3, aggregator=aggregator)
        expected = FIRST_OF_MANY if aggregator == "first" else ""
        if "student_heads" in owned.item.needs and not heads:
            expected = NO_HEADS
        assert expected in refusal, f"{plugin} with {aggregator}: {refusal}"
        assert expected or not refusal, f"{plugin} with {aggregator}: {refusal}"

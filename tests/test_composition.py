"""Any part on any method, and any method on odd inputs: trained for a round or two, or refused for a known reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import dfkdbench.assembly
from dfkdbench.assembly import Assembly, build_network
from dfkdbench.bench import Request, prepare
from dfkdbench.cli.console import Console
from dfkdbench.errors import DfkdbenchError, PlanError
from dfkdbench.plan import Plan, PlannedPhase
from dfkdbench.registry import load_registry
from dfkdbench.rng import seeded_initialisation

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


def shorten(plan: Plan, rounds: int, student_steps: int) -> Plan:
    """The plan with no more rounds a phase and student steps a round than these, and two generator steps at most."""

    def short(planned: PlannedPhase) -> PlannedPhase:
        phase = planned.phase
        steps = {
            "generator_steps": min(phase.generator_steps, 2),
            "student_steps": min(phase.student_steps, student_steps),
        }
        return planned.model_copy(
            update={"rounds": min(planned.rounds, rounds), "phase": phase.model_copy(update=steps)}
        )

    return plan.model_copy(update={"phases": tuple(map(short, plan.phases))})


def train_for_two_rounds(plan: Plan, weights: list[Path]) -> None:
    """Runs every phase with at most two rounds and two generator steps in each; the student must have moved."""
    assembly = Assembly(shorten(plan, rounds=2, student_steps=1_000), weights, torch.device("cpu"))
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


def plan_of(plugin: str, *settings: str) -> Plan:
    """A plan on the first of the digits pairs that suits the method; the refusal of the last where none does."""
    refusals: list[DfkdbenchError] = []
    for pair, teachers in STUDENTS:
        asked = Request(
            plugin=plugin, dataset="digits", pair=pair, teacher_count=teachers, settings=settings, seeds=(0,)
        )
        try:
            return prepare(asked, Console(), REGISTRY).plan(0)
        except DfkdbenchError as refusal:
            refusals.append(refusal)
    raise max(refusals, key=lambda refusal: any(setting.partition("=")[0] in refusal.message for setting in settings))


def train_briefly(plan: Plan) -> None:
    """A round of every phase with two student steps, after which everything must be finite."""
    assembly = Assembly(shorten(plan, rounds=1, student_steps=2), [], torch.device("cpu"))
    while not assembly.loop.done:
        assembly.loop.advance()
    assert assembly.meter.student_steps > 0
    assert all(tensor.isfinite().all() for tensor in assembly.student.state_dict().values())


@pytest.fixture
def untrained_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Teachers with random weights, so that any number of classes has one."""

    def build(plan: Plan, weights: Sequence[Path], device: torch.device) -> tuple[nn.Module, ...]:
        networks: list[nn.Module] = []
        for index, teacher in enumerate(plan.teachers):
            with seeded_initialisation(index):
                networks.append(build_network(teacher.model, plan.input).to(device).eval().requires_grad_(False))
        return tuple(networks)

    monkeypatch.setattr(dfkdbench.assembly, "build_teachers", build)


@pytest.mark.usefixtures("untrained_teachers")
@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("plugin", METHODS)
def test_batch__of_one_or_odd_runs_or_is_refused_by_name(plugin: str, batch_size: int) -> None:
    refusal = ""
    try:
        train_briefly(plan_of(plugin, f"batch_size={batch_size}"))
    except DfkdbenchError as error:
        refusal = error.message
    assert not refusal or ("batch" in refusal and str(batch_size) in refusal), f"{plugin}: {refusal}"


@pytest.mark.usefixtures("untrained_teachers")
@pytest.mark.parametrize(
    "change",
    [{"classes": 2}, {"classes": 1000}, {"channels": 3, "mean": (0.5,) * 3, "std": (0.2,) * 3}],
    ids=["2 classes", "1000 classes", "colour"],
)
@pytest.mark.parametrize("plugin", METHODS)
def test_input__few_and_many_classes_and_colour_run(plugin: str, change: dict[str, Any]) -> None:
    plan = plan_of(plugin, "batch_size=12")
    train_briefly(plan.model_copy(update={"input": plan.input.model_copy(update=change)}))

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.assembly import Assembly
from dfkdbench.loop import ImageObjective
from dfkdbench.parts.generators.networks import ConvNetwork
from dfkdbench.parts.options import ConvOptions
from dfkdbench.plan import Plan
from dfkdbench.records import Result
from dfkdbench_dfad import METHOD

Assemble = Callable[..., Assembly]
MakePlan = Callable[..., Plan]

WITH_BATCH_NORM = "resnet_s:resnet_xs"


def state_of(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(network: torch.nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def latents_drawn(assembly: Assembly, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Every batch of latents from now on."""
    drawn: list[Tensor] = []
    draw = assembly.generator.draw_latents

    def watched(count: int) -> Tensor:
        drawn.append(draw(count))
        return drawn[-1]

    monkeypatch.setattr(assembly.generator, "draw_latents", watched)
    return drawn


@pytest.mark.parametrize("form", ["plain", "log"])
def test_objective__is_the_students_loss_turned_round(assemble: Assemble, form: str) -> None:
    assembly = assemble(f"losses.adversarial_l1.form={form}")
    parts = assembly.parts
    images = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    objective = ImageObjective(parts, assembly.plan.phases[0])(images)
    logits = [network(images).detach().double() for network in (assembly.teacher_networks[0], parts.student)]
    distance = (logits[0] - logits[1]).abs().sum() / (8 * 10)
    expected = -distance if form == "plain" else -torch.log(1 + distance)
    torch.testing.assert_close(objective.double(), expected, rtol=1e-5, atol=0)


def test_round__five_student_steps_then_one_of_the_generator_each_on_latents_of_its_own(
    assemble: Assemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly = assemble()
    drawn = latents_drawn(assembly, monkeypatch)
    generator_steps: list[int] = []
    for rounds in (1, 2, 3):
        assembly.loop.advance()
        generator_steps.append(assembly.meter.generator_steps)
        assert (assembly.meter.student_steps, len(drawn)) == (5 * rounds, 6 * rounds)
    assert generator_steps == [1, 2, 3]
    assert len({batch.double().sum().item() for batch in drawn}) == 18
    # Forward passes: one for each student step, one and a backward for the generator's.
    assert assembly.meter.teacher_queries == 3 * (5 + 2) * 64


def test_round__students_steps_come_first(assemble: Assemble, monkeypatch: pytest.MonkeyPatch) -> None:
    assembly = assemble()
    fit = assembly.generator.fit
    student_steps: list[int] = []

    def watched(objective: Any, steps: int) -> None:
        student_steps.append(assembly.meter.student_steps)
        fit(objective, steps)

    monkeypatch.setattr(assembly.generator, "fit", watched)
    for _ in range(2):
        assembly.loop.advance()
    assert student_steps == [5, 10]


def test_generator_step__moves_only_the_generator_and_the_students_running_statistics(assemble: Assemble) -> None:
    assembly = assemble(pair=WITH_BATCH_NORM)
    parts = assembly.parts
    teacher, student = state_of(assembly.teacher_networks[0]), state_of(parts.student)
    generator = state_of(assembly.generator.network)
    assembly.generator.fit(ImageObjective(parts, assembly.plan.phases[0]), 2)
    assert changed(assembly.teacher_networks[0], teacher) == set()
    moved = changed(parts.student, student)
    assert moved
    assert all("running" in name or "num_batches" in name for name in moved)
    assert "project.weight" in changed(assembly.generator.network, generator)


def test_student_step__sends_no_gradient_to_the_generator(assemble: Assemble) -> None:
    assembly = assemble("phases.distil.generator_steps=0")
    before = state_of(assembly.parts.student)
    assembly.loop.advance()
    assert changed(assembly.parts.student, before)
    assert all(parameter.grad is None for parameter in assembly.generator.network.parameters())


def test_game__generator_raises_and_student_lowers_the_distance(assemble: Assemble) -> None:
    assembly = assemble("generator.optimizer.lr=0.01", "phases.distil.generator_steps=0")
    phase = assembly.plan.phases[0]

    def distance() -> float:
        torch.manual_seed(0)
        return -ImageObjective(assembly.parts, phase)(assembly.generator.sample(256).images).item()

    start = distance()
    assembly.generator.fit(ImageObjective(assembly.parts, phase), 20)
    raised = distance()
    assert raised > start
    for _ in range(4):
        assembly.loop.advance()
    assert distance() < raised


@pytest.mark.parametrize(
    ("dataset", "pair", "channels", "count"),
    [("mnist", "lenet5:lenet5_half", 1, 1_049_985), ("cifar10", "resnet34:resnet18", 3, 2_329_091)],
)
def test_presets__generator_has_the_published_size(
    plan: MakePlan, dataset: str, pair: str, channels: int, count: int
) -> None:
    options = ConvOptions.model_validate(
        plan(dataset=dataset, pair=pair, budget="paper").slots["generator"].options, strict=False
    )
    assert sum(p.numel() for p in ConvNetwork(options, (channels, 32, 32)).parameters()) == count
    assert options.norm_eps == 1e-5


@pytest.mark.parametrize(
    ("dataset", "pair", "batch", "rate", "decay", "student_steps"),
    [
        ("mnist", "lenet5:lenet5_half", 512, 0.01, 1e-4, 10_000),
        ("cifar10", "resnet34:resnet18", 256, 0.1, 5e-4, 125_000),
        ("cifar100", "resnet34:resnet18", 256, 0.1, 5e-4, 125_000),
        ("caltech101", "resnet34:resnet18", 64, 0.05, 5e-4, 75_000),
    ],
)
def test_presets__paper_budget(
    plan: MakePlan, dataset: str, pair: str, batch: int, rate: float, decay: float, student_steps: int
) -> None:
    planned = plan(dataset=dataset, pair=pair, budget="paper")
    student = planned.recipe.student
    assert (planned.recipe.batch_size, student.lr, student.weight_decay) == (batch, rate, decay)
    assert (planned.student_steps, planned.generator_steps) == (student_steps, student_steps // 5)
    assert (student.kind, student.momentum) == ("sgd", 0.9)


def test_presets__cifar_decays_both_rates_at_epochs_100_and_200_of_500(plan: MakePlan) -> None:
    planned = plan(dataset="cifar10", pair="resnet34:resnet18", budget="paper")
    generator = planned.slots["generator"].options["optimizer"]
    assert (planned.recipe.student.schedule, planned.recipe.student.milestones) == ("multistep", (0.2, 0.4))
    assert (generator["schedule"], tuple(generator["milestones"]), generator["gamma"]) == ("multistep", (0.2, 0.4), 0.1)


def test_presets__say_where_they_are_from() -> None:
    assert all(preset.source for preset in METHOD.presets)


def test_league__needs_gradients_of_logits_and_nothing_else(plan: MakePlan) -> None:
    assert plan().access == ("input_gradients", "soft_labels")


@pytest.mark.parametrize("pair", ["lenet_s:lenet_xs", WITH_BATCH_NORM])
def test_run__from_end_to_end(run: Callable[..., Result], pair: str) -> None:
    result = run(pair=pair)
    assert (result.status, result.student_samples) == ("finished", 2560)


README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", re.findall(r"`([a-z_0-9.]+=[^`\s]+)`", README))
def test_readme__every_option_is_one(plan: MakePlan, setting: str) -> None:
    assert plan(setting).run_id != plan().run_id

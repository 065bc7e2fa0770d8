from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.assembly import Assembly
from dfkdbench.errors import PlanError
from dfkdbench.loop import ImageObjective
from dfkdbench.parts.generators.networks import ConvNetwork
from dfkdbench.parts.options import ConvOptions
from dfkdbench.parts.schedules import learning_rate
from dfkdbench.plan import Plan
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.records import Result
from dfkdbench.registry import Registry
from dfkdbench_zskt import METHOD, RECIPE

Assemble = Callable[..., Assembly]
MakePlan = Callable[..., Plan]
OFFICIAL = "phases.distil.student_steps=10"
WRN = {"dataset": "cifar10", "pair": "wrn_40_2:wrn_16_1", "budget": "paper"}


class Watched:
    """Latents drawn, images remade and batches that student steps saw."""

    def __init__(self, assembly: Assembly, monkeypatch: pytest.MonkeyPatch) -> None:
        self.latents: list[Tensor] = []
        self.remade: list[Tensor] = []
        self.taught: list[Tensor] = []
        draw, remake = assembly.generator.draw_latents, assembly.generator.remake
        attention = assembly.parts.student_losses.losses["attention_transfer"]

        def draw_latents(count: int) -> Tensor:
            self.latents.append(draw(count))
            return self.latents[-1]

        def watched_remake() -> Any:
            batch = remake()
            self.remade.append(batch.images)
            return batch

        def watched_attention(view: Any) -> Tensor:
            self.taught.append(view.images)
            loss: Tensor = attention(view)
            return loss

        monkeypatch.setattr(assembly.generator, "draw_latents", draw_latents)
        monkeypatch.setattr(assembly.generator, "remake", watched_remake)
        monkeypatch.setitem(assembly.parts.student_losses.losses, "attention_transfer", watched_attention)


def test_round__ten_student_steps_on_the_generators_latents_with_one_target(
    assemble: Assemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly = assemble(OFFICIAL)
    watched = Watched(assembly, monkeypatch)
    for rounds in (1, 2):
        assembly.loop.advance()
        assert (assembly.meter.generator_steps, assembly.meter.student_steps) == (rounds, 10 * rounds)
        assert len(watched.latents) == len(watched.remade) == rounds
        # Forward and backward for the generator, one forward for all student steps.
        assert assembly.meter.teacher_queries == rounds * 3 * 64
    assert all(torch.equal(images, watched.remade[0]) for images in watched.taught[:10])
    assert len(watched.taught) == 20


def test_round__images_are_made_anew_by_the_updated_generator(
    assemble: Assemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly = assemble()
    watched = Watched(assembly, monkeypatch)
    made: list[Tensor] = []
    assembly.generator.network.register_forward_hook(lambda module, inputs, output: made.append(output.detach()))
    assembly.loop.advance()
    assert len(made) == 2
    assert not torch.equal(made[0], made[1])
    assert torch.equal(watched.remade[0], assembly.generator.network(watched.latents[0]))


@pytest.mark.parametrize(("images", "drawn"), [("shared", 1), ("fresh", 6)])
def test_round__other_images_for_the_student(
    assemble: Assemble, monkeypatch: pytest.MonkeyPatch, images: str, drawn: int
) -> None:
    assembly = assemble(f"phases.distil.student_images={images}")
    watched = Watched(assembly, monkeypatch)
    assembly.loop.advance()
    assert (len(watched.latents), len(watched.remade)) == (drawn, 0)


def test_objective__is_minus_the_divergence_over_batch_and_classes(assemble: Assemble) -> None:
    assembly = assemble()
    images = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    objective = ImageObjective(assembly.parts, assembly.plan.phases[0])(images)
    t, s = (network(images).detach().double() for network in (assembly.teacher_networks[0], assembly.parts.student))
    p, q = (torch.exp(x) / torch.exp(x).sum(1, keepdim=True) for x in (t, s))
    torch.testing.assert_close(objective.double(), -(p * (p / q).log()).sum() / (8 * 10), rtol=1e-4, atol=1e-7)


def test_objective__gradient_takes_the_teachers_path_too(assemble: Assemble) -> None:
    assembly = assemble()
    images = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    objective = ImageObjective(assembly.parts, assembly.plan.phases[0])(images)
    (gradient,) = torch.autograd.grad(objective, images)
    p = torch.softmax(assembly.teacher_networks[0](images).detach(), 1)
    without = (p * torch.log_softmax(assembly.parts.student(images), 1)).sum() / 80
    (detached,) = torch.autograd.grad(without, images)
    assert (gradient - detached).norm() > 0.1 * gradient.norm()


def test_generator_step__leaves_teacher_and_weights_of_the_student(assemble: Assemble) -> None:
    assembly = assemble(pair="resnet_s:resnet_xs")
    networks = (assembly.teacher_networks[0], assembly.parts.student)
    before = [{name: value.clone() for name, value in network.state_dict().items()} for network in networks]
    assembly.generator.fit(ImageObjective(assembly.parts, assembly.plan.phases[0]), 2)
    moved = [
        {name for name, value in network.state_dict().items() if not torch.equal(value, old[name])}
        for network, old in zip(networks, before, strict=True)
    ]
    assert moved[0] == set()
    assert moved[1]
    assert all("running" in name or "num_batches" in name for name in moved[1])


def test_schedule__is_that_of_pseudo_batches(plan: MakePlan) -> None:
    planned = plan(**WRN)
    rounds = 80_000
    options = OptimizerOptions.model_validate(planned.slots["generator"].options["optimizer"], strict=False)
    for n in (0, 1, 40_000, 79_999):
        shape = (1 + math.cos(math.pi * n / rounds)) / 2
        assert learning_rate(options, n, planned.generator_steps) == pytest.approx(1e-3 * shape)
        assert learning_rate(planned.recipe.student, 10 * n, planned.student_steps) == pytest.approx(2e-3 * shape)


@pytest.mark.parametrize(("dataset", "rounds"), [("cifar10", 80_000), ("svhn", 50_000)])
def test_presets__paper_budget(plan: MakePlan, dataset: str, rounds: int) -> None:
    planned = plan(**WRN | {"dataset": dataset})
    assert (planned.generator_steps, planned.student_steps, planned.recipe.batch_size) == (rounds, 10 * rounds, 128)
    assert planned.student_losses["attention_transfer"].weight == 250
    assert planned.recipe.student.clip_norm == planned.slots["generator"].options["optimizer"]["clip_norm"] == 5.0


def test_presets__no_paper_budget_where_the_paper_has_none(plan: MakePlan) -> None:
    with pytest.raises(PlanError, match="has none for mnist"):
        plan(dataset="mnist", pair="lenet5:lenet5_half", budget="paper")


def test_presets__pair_of_two_families_goes_without_attention(plan: MakePlan) -> None:
    assert set(plan(dataset="cifar10", pair="vgg11:resnet18", budget="quick").student_losses) == {"kl"}


def test_presets__say_where_they_are_from() -> None:
    assert all(preset.source for preset in METHOD.presets)


def test_recipe__generator_has_the_published_size_and_no_bound_on_its_images() -> None:
    options = ConvOptions.model_validate(RECIPE.generator.options, strict=False)
    network = ConvNetwork(options, (3, 32, 32))
    assert sum(p.numel() for p in network.parameters()) == 1_051_145
    images = network(torch.randn(128, 100, generator=torch.Generator().manual_seed(0))).detach()
    assert images.abs().max() > 2
    assert images.var(dim=(0, 2, 3)).tolist() == pytest.approx([1.0] * 3, rel=1e-2)


def test_league__attention_needs_features(plan: MakePlan) -> None:
    assert plan().league == "features"
    assert plan("student_losses.attention_transfer.weight=0").league == "input-gradients"


def test_mskd__is_an_alias_with_its_label(registry: Registry) -> None:
    assert registry.methods.get("mskd").item is registry.methods.get("zskt").item
    assert "identification probable, not confirmed" in METHOD.summary


@pytest.mark.parametrize(("plugin", "pair"), [("mskd", "lenet_s:lenet_xs"), ("zskt", "resnet_s:resnet_xs")])
def test_run__from_end_to_end(run: Callable[..., Result], plugin: str, pair: str) -> None:
    result = run(plugin, pair=pair)
    assert (result.status, result.plugin, result.student_samples) == ("finished", "zskt", 2560)


README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", re.findall(r"`([a-z_0-9.]+=[^`\s]+)`", README))
def test_readme__every_option_is_one(plan: MakePlan, setting: str) -> None:
    assert plan(setting).run_id != plan().run_id

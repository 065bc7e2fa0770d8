from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dfkdbench_deepinversion as plugin
from dfkdbench.bench import Request, prepare
from dfkdbench.cli.console import Console
from dfkdbench.descriptors import NEEDS, Method
from dfkdbench.errors import PlanError
from dfkdbench.judge import execute
from dfkdbench.models.digits import resnet_xs
from dfkdbench.parts.generators.pixels import PixelsGenerator
from dfkdbench.parts.losses.batch_norm import BatchNormLoss
from dfkdbench.parts.losses.label import LabelLoss
from dfkdbench.parts.losses.total_variation import TotalVariationLoss
from dfkdbench.parts.options import BatchNormOptions, LabelOptions, PixelsOptions, TotalVariationOptions
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.records import Result
from dfkdbench.registry import Registry
from dfkdbench.seams import Setting, View, read_signal
from dfkdbench_deepinversion import ADAPTIVE_METHOD, ADAPTIVE_RECIPE, METHOD, RECIPE

MakeSetting = Callable[..., Setting]
WANTS = frozenset({"batch_norm"})


@pytest.fixture
def teacher() -> nn.Module:
    torch.manual_seed(3)
    network = resnet_xs(1, 10, 16)
    network.train()
    for _ in range(5):
        network(torch.randn(64, 1, 16, 16).cumsum(3) / 4)
    return network.eval().requires_grad_(False)


class Inversion:
    """DeepInversion's objective on a teacher; keeps the value of each loss."""

    def __init__(self, teacher: nn.Module, setting: Setting, weights: dict[str, float]) -> None:
        losses = {
            "label": LabelLoss(LabelOptions(), setting),
            "batch_norm": BatchNormLoss(BatchNormOptions(), setting),
            "total_variation": TotalVariationLoss(TotalVariationOptions(), setting),
        }
        self.losses = {name: (losses[name], weight) for name, weight in weights.items() if weight}
        self.teacher = teacher
        self.history: list[dict[str, float]] = []

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        signal = read_signal(self.teacher, images, WANTS)
        view = View(images, signal, (signal,), labels=labels)
        terms = {name: loss(view) for name, (loss, _) in self.losses.items()}
        self.history.append({name: term.item() for name, term in terms.items()})
        return torch.stack([self.losses[name][1] * term for name, term in terms.items()]).sum()


def weights_of(*names: str) -> dict[str, float]:
    return {name: RECIPE.losses[name].weight for name in names}


def invert(teacher: nn.Module, setting: Setting, steps: int = 70) -> Inversion:
    objective = Inversion(teacher, setting, weights_of("label", "batch_norm", "total_variation"))
    options = PixelsOptions(optimizer=OptimizerOptions(lr=0.1))
    PixelsGenerator(options, setting).fit(objective, steps)
    return objective


def test_inversion__losses_fall_and_the_teacher_stays_bit_identical(
    teacher: nn.Module, make_setting: MakeSetting
) -> None:
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    history = invert(teacher, make_setting()).history
    assert history[-1]["batch_norm"] < 0.6 * history[0]["batch_norm"]
    assert history[-1]["label"] < history[0]["label"]
    assert not any(module.training for module in teacher.modules())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_inversion__statistics_are_those_of_the_inputs_of_the_norms(
    teacher: nn.Module, make_setting: MakeSetting
) -> None:
    """R_feat from forward hooks on the norms, in float64, against the loss."""
    teacher.double()
    images = torch.randn(8, 1, 16, 16, dtype=torch.float64)
    distances: list[Tensor] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        per_channel = inputs[0].transpose(0, 1).flatten(1)
        variance = ((per_channel - per_channel.mean(1, keepdim=True)) ** 2).mean(1)
        distances.append((variance - module.running_var).norm() + (per_channel.mean(1) - module.running_mean).norm())

    hooks = [m.register_forward_hook(look) for m in teacher.modules() if isinstance(m, nn.BatchNorm2d)]
    signal = read_signal(teacher, images, WANTS)
    for hook in hooks:
        hook.remove()
    assert len(distances) == len(signal.batch_norm) > 3
    view = View(images, signal, (signal,))
    for first in (1.0, 10.0):
        loss = BatchNormLoss(BatchNormOptions(first_layer_weight=first), make_setting())(view)
        expected = torch.stack(distances).sum() + (first - 1) * distances[0]
        torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
        doubled = read_signal(teacher, images.repeat(2, 1, 1, 1), WANTS)
        twice = BatchNormLoss(BatchNormOptions(first_layer_weight=first), make_setting())
        torch.testing.assert_close(twice(View(images, doubled, (doubled,))), loss)


def test_inversion__without_batch_norm_images_keep_foreign_statistics(
    teacher: nn.Module, make_setting: MakeSetting
) -> None:
    matched = invert(teacher, make_setting()).history[-1]["batch_norm"]
    setting = make_setting()
    generator = PixelsGenerator(PixelsOptions(optimizer=OptimizerOptions(lr=0.1)), setting)
    generator.fit(Inversion(teacher, setting, weights_of("label", "total_variation")), 70)
    signal = read_signal(teacher, generator.sample(64).images, WANTS)
    foreign = BatchNormLoss(BatchNormOptions(), setting)(View(torch.zeros(1), signal, (signal,)))
    assert foreign > 1.5 * matched


def test_recipe__is_the_readmes_parameters_of_the_paper() -> None:
    weights = {name: choice.weight for name, choice in RECIPE.losses.items()}
    assert weights == {"label": 1.0, "batch_norm": 10.0, "total_variation": 2.5e-5, "l2_norm": 0.0}
    pixels = PixelsOptions.model_validate(RECIPE.generator.options)
    assert (pixels.optimizer.kind, pixels.optimizer.lr, pixels.optimizer.betas) == ("adam", 0.05, (0.9, 0.999))
    assert (pixels.jitter, pixels.flip, pixels.bounds, pixels.start) == (2, False, "none", "normal")
    invert_phase, distil = RECIPE.phases.values()
    assert invert_phase.rounds is not None
    assert (invert_phase.rounds * RECIPE.batch_size, invert_phase.generator_steps) == (256_000, 2000)
    assert (invert_phase.student_steps, distil.generator_steps) == (0, 0)


def test_adaptive__adds_a_batch_every_50_student_steps_under_competition() -> None:
    invert_phase, distil = ADAPTIVE_RECIPE.phases.values()
    assert ADAPTIVE_RECIPE.losses.keys() - RECIPE.losses.keys() == {"competition"}
    assert ADAPTIVE_RECIPE.losses["competition"].weight == 0.2
    assert invert_phase.losses is not None
    assert "competition" not in invert_phase.losses
    assert distil.losses is None
    assert (distil.order, distil.student_steps, distil.student_mode) == ("student_first", 50, "eval")


METHODS = pytest.mark.parametrize("method", [METHOD, ADAPTIVE_METHOD], ids=lambda method: method.name)


def preset_values(method: Method, dataset: str, budget: str) -> dict[str, Any]:
    """Values of the presets that match, later ones winning."""
    matching = [preset.values for preset in method.presets if preset.matches(dataset, "a:b", budget)]
    return {key: value for values in matching for key, value in values.items()}


def test_presets__imagenet_is_setting_1() -> None:
    values = preset_values(METHOD, "imagenet", "paper")
    assert values["generator.optimizer"] == {"lr": 0.25, "betas": (0.5, 0.9), "schedule": "cosine", "warmup": 0.05}
    assert (values["generator.jitter"], values["generator.flip"], values["generator.bounds"]) == (30, True, "clip")
    assert (values["losses.batch_norm.weight"], values["losses.l2_norm.weight"]) == (0.01, 1e-5)
    assert values["phases.invert.rounds"] * values["generator.batch_size"] == pytest.approx(140_000, rel=1e-3)
    assert values["phases.distil.rounds"] == math.ceil(140_000 * 90 / 256)


@METHODS
def test_presets__say_where_they_are_from(method: Method) -> None:
    assert all(preset.source for preset in method.presets)


@pytest.fixture
def registry() -> Registry:
    return Registry([EntryPoint("deepinversion", "dfkdbench_deepinversion", "dfkdbench")])


def plan_request(name: str, pair: str = "resnet_s:resnet_xs", budget: str = "smoke", **changes: Any) -> Request:
    request = Request(plugin=name, dataset="digits", pair=pair, budget=budget, device="cpu", threads=1)
    return replace(request, **({"isolation": "in-process"} | changes))


def run(registry: Registry, out: Path, name: str, settings: Sequence[str] = ()) -> Result:
    request = plan_request(name, out=out, settings=tuple(settings))
    prepared = prepare(request, Console(), registry)
    plan = prepared.plan(0)
    return execute(plan, request.out, prepared.bench(plan), False)


@METHODS
def test_run__smoke_budget_from_end_to_end(method: Method, registry: Registry, tmp_path: Path) -> None:
    result = run(registry, tmp_path, method.name)
    assert result.status == "finished"
    assert result.league == "batch-norm"
    assert result.student_samples == 2560
    rounds, steps = 2, 10
    expected = 2560 + 2 * 64 * rounds * steps
    if method is ADAPTIVE_METHOD:
        expected += 2 * 64 * 4 * 5
    assert result.teacher_queries == expected


@METHODS
@pytest.mark.parametrize("budget", ["smoke", "quick", "standard"])
def test_plan__every_tier_of_digits_has_one(method: Method, budget: str, registry: Registry) -> None:
    plan = prepare(plan_request(method.name, budget=budget), Console(), registry).plan(0)
    assert 0.9 < plan.student_steps * 64 / plan.budget.student_samples <= 1
    assert plan.generator_steps <= 4000


@METHODS
def test_plan__a_teacher_without_batch_norm_is_refused(method: Method, registry: Registry) -> None:
    with pytest.raises(PlanError, match=r"batch_norm' needs batch-norm statistics.*--loss batch_norm=0"):
        prepare(plan_request(method.name, pair="lenet_s:lenet_xs"), Console(), registry)


def test_plan__labels_ask_for_a_generator_that_gives_them(registry: Registry) -> None:
    with pytest.raises(PlanError, match="'label' needs labelled images, and the generator 'conv' gives none"):
        prepare(plan_request("deepinversion", generator="conv"), Console(), registry)


def test_plugin__registers_both_methods_and_its_loss(registry: Registry) -> None:
    assert registry.methods.get("adi").item is ADAPTIVE_METHOD
    component = registry.components["loss"].get("competition").item
    module, attribute = component.target.split(":")
    assert getattr(importlib.import_module(module), attribute)
    assert component.needs <= NEEDS
    assert all(field.description and not field.is_required() for field in component.options.model_fields.values())
    assert plugin.API == 1

from __future__ import annotations

import importlib
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch

import dfkdbench_zskd
from dfkdbench.bench import Request, prepare
from dfkdbench.cli.console import Console
from dfkdbench.descriptors import NEEDS
from dfkdbench.judge import execute
from dfkdbench.parts.losses.kl import KLLoss
from dfkdbench.parts.options import KLOptions
from dfkdbench.registry import Registry
from dfkdbench.seams import Setting, Signal, View
from dfkdbench_zskd import METHOD, RECIPE
from dfkdbench_zskd.options import ImpressionsOptions


@pytest.fixture
def registry() -> Registry:
    return Registry([EntryPoint("zskd", "dfkdbench_zskd", "dfkdbench")])


def request_of(budget: str = "smoke", **changes: Any) -> Request:
    request = Request(plugin="zskd", dataset="digits", budget=budget, device="cpu", threads=1, isolation="in-process")
    return replace(request, **changes)


def student_gradient(temperature: float, setting: Setting) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(6, 10, generator=rng, dtype=torch.float64) for _ in range(2))
    student.requires_grad_()
    loss = KLLoss(KLOptions(temperature=temperature, temperature_squared=True), setting)
    view = View(torch.zeros(6), Signal(teacher), (Signal(teacher),), Signal(student))
    (gradient,) = torch.autograd.grad(loss(view), student)
    return gradient


def test_student_loss__its_scale_does_not_depend_on_a_high_temperature(make_setting: Any) -> None:
    norms = [student_gradient(temperature, make_setting()).norm().item() for temperature in (20.0, 100.0)]
    assert norms[0] == pytest.approx(norms[1], rel=0.05)


def test_student_loss__is_least_where_logits_agree_up_to_a_constant(make_setting: Any) -> None:
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    student = (logits + 3).requires_grad_()
    options = KLOptions.model_validate(RECIPE.student_losses["kl"].options)
    loss = KLLoss(options, make_setting())(View(torch.zeros(4), Signal(logits), (Signal(logits),), Signal(student)))
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert gradient.abs().max() < 1e-9


def test_recipe__is_the_official_codes() -> None:
    options = ImpressionsOptions.model_validate(RECIPE.generator.options)
    impressions, distil = RECIPE.phases.values()
    assert (options.optimizer.kind, options.optimizer.lr, options.batch_size) == ("adam", 1e-3, 100)
    assert (options.space, options.start, options.bounds, options.jitter) == ("unit", "uniform", "rescale", 0)
    assert (impressions.rounds, impressions.generator_steps) == (400, 1500)
    assert (impressions.student_steps, distil.generator_steps) == (0, 0)
    assert RECIPE.losses["label"].options == {"temperature": 20.0}
    assert RECIPE.student_losses["kl"].options == {"temperature": 20.0, "temperature_squared": True}
    assert (RECIPE.student.kind, RECIPE.student.lr, RECIPE.batch_size) == ("adam", 1e-3, 64)


def test_presets__say_where_they_are_from() -> None:
    assert all(preset.source for preset in METHOD.presets)


@pytest.mark.parametrize(("dataset", "images", "steps"), [("cifar10", 40_000, 312_500), ("mnist", 24_000, 187_500)])
def test_presets__paper_budget_is_500_epochs(dataset: str, images: int, steps: int) -> None:
    matching = [preset.values for preset in METHOD.presets if preset.matches(dataset, "a:b", "paper")]
    values = {key: value for layer in matching for key, value in layer.items()}
    assert 100 * values.get("phases.impressions.rounds", RECIPE.phases["impressions"].rounds) == images
    assert values["phases.distil.rounds"] == steps == 500 * images / 64


@pytest.mark.parametrize("pair", ["lenet_s:lenet_xs", "resnet_s:resnet_xs"])
def test_run__smoke_budget_from_end_to_end(pair: str, registry: Registry, tmp_path: Path) -> None:
    prepared = prepare(request_of(pair=pair, out=tmp_path), Console(), registry)
    plan = prepared.plan(0)
    result = execute(plan, tmp_path, prepared.bench(plan), False)
    assert result.status == "finished"
    assert result.league == "final-layer"
    assert result.student_samples == 2560
    assert result.teacher_queries == 2560 + 2 * 64 * 2 * 20


@pytest.mark.parametrize("budget", ["smoke", "quick", "standard"])
def test_plan__every_tier_of_digits_has_one(budget: str, registry: Registry) -> None:
    plan = prepare(request_of(budget), Console(), registry).plan(0)
    assert 0.9 < plan.student_steps * 64 / plan.budget.student_samples <= 1
    assert plan.generator_steps <= 8000


def test_plugin__registers_method_and_generator(registry: Registry) -> None:
    assert registry.methods.get("zskd").item is METHOD
    component = registry.components["generator"].get("impressions").item
    module, attribute = component.target.split(":")
    assert getattr(importlib.import_module(module), attribute)
    assert component.needs <= NEEDS
    assert all(field.description and not field.is_required() for field in component.options.model_fields.values())
    assert dfkdbench_zskd.API == 1

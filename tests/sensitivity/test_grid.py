"""Which settings a study varies, and by what."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from dfkdbench.config import parse_setting, resolve
from dfkdbench.descriptors import Component, Method
from dfkdbench.errors import ConfigError
from dfkdbench.recipe import LossChoice, OptimizerOptions, Options, PartChoice, Phase, Recipe
from dfkdbench.registry import CORE, Owned, Registry
from dfkdbench.sensitivity.grid import Variation, choose_settings, parse_factors, studied_settings, variations

CELL = ("digits", "lenet_s:lenet_xs", "quick")


class OwnRates(Options):
    """Options of a loss that trains something of its own."""

    lr: float = 1e-3
    latent_lr: float = 0.5
    off_lr: float = 0.0
    lr_name: str = "lr"
    momentum: float = 0.9
    optimizer: OptimizerOptions = OptimizerOptions(lr=0.25)


METHOD = Method(
    name="toy",
    summary="Toy.",
    recipe=Recipe(
        generator=PartChoice(name="conv", options={"optimizer": {"lr": 0.2}}),
        losses={"one_hot": LossChoice(), "class_entropy": LossChoice(weight=5.0), "activation": LossChoice(weight=0.0)},
        student_losses={"kl": LossChoice(weight=2.0)},
        student=OptimizerOptions(lr=0.005),
    ),
)


def settings_of(registry: Registry, method: Method, *overrides: tuple[str, Any]) -> dict[str, float]:
    layers = [(key, value, "--set") for key, value in overrides]
    return studied_settings(resolve(registry, method, CELL, layers))


def test_settings__every_weight_in_force_and_every_rate(registry: Registry) -> None:
    assert settings_of(registry, METHOD) == {
        "losses.one_hot.weight": 1.0,
        "losses.class_entropy.weight": 5.0,
        "student_losses.kl.weight": 2.0,
        "student.lr": 0.005,
        "generator.optimizer.lr": 0.2,
    }


def test_settings__rates_that_a_loss_owns(registry: Registry) -> None:
    own = Component(kind="loss", role="image", name="own", target="x:y", summary="Toy.", options=OwnRates)
    registry.components["loss"].add("own", Owned(own, CORE, "1", "toy"))
    found = settings_of(registry, METHOD, ("losses.own.weight", 1.0))
    assert {key: value for key, value in found.items() if key.startswith("losses.own.")} == {
        "losses.own.weight": 1.0,
        "losses.own.lr": 1e-3,
        "losses.own.latent_lr": 0.5,
        "losses.own.optimizer.lr": 0.25,
    }


def test_settings__without_a_generator_that_learns(registry: Registry) -> None:
    recipe = METHOD.recipe.model_copy(update={"phases": {"distil": Phase(generator_steps=0)}})
    assert settings_of(registry, replace(METHOD, recipe=recipe)) == {
        "student_losses.kl.weight": 2.0,
        "student.lr": 0.005,
    }


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("0.1,0.3,1,3,10", (0.1, 0.3, 1.0, 3.0, 10.0)),
        ("10, 0.1", (0.1, 1.0, 10.0)),
        ("2", (1.0, 2.0)),
    ],
)
def test_factors__rise_and_hold_the_preset(text: str, factors: tuple[float, ...]) -> None:
    assert parse_factors(text) == factors


@pytest.mark.parametrize("text", ["", "1", "0,1", "-1,1", "a", "0.1,0.1", "nan,1", "inf,1", "0.1;1"])
def test_factors__others_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="distinct positive numbers"):
        parse_factors(text)


def test_variations__are_written_as_a_user_would(registry: Registry) -> None:
    found = list(variations({"student.lr": 0.005, "losses.one_hot.weight": 1.0}, (0.1, 1.0, 3.0)))
    assert found == [
        Variation("student.lr", 0.1, 0.0005),
        Variation("student.lr", 3.0, 0.015),
        Variation("losses.one_hot.weight", 0.1, 0.1),
        Variation("losses.one_hot.weight", 3.0, 3.0),
    ]
    assert [variation.text for variation in found][:2] == ["student.lr=0.0005", "student.lr=0.015"]


@pytest.mark.parametrize("value", [5e-7, 1e-5, 0.005, 5.0, 1e7])
def test_variations__survive_the_way_through_a_flag(value: float) -> None:
    for variation in variations({"student.lr": value}, (0.1, 0.3, 10.0)):
        key, read, _ = parse_setting(variation.text)
        assert (key, read) == ("student.lr", variation.value)
        assert isinstance(read, float)


def test_choose_settings__by_key_and_by_pattern() -> None:
    settings = {"losses.one_hot.weight": 1.0, "losses.class_entropy.weight": 5.0, "student.lr": 0.1}
    assert choose_settings(settings, (), "toy") == settings
    assert list(choose_settings(settings, ("losses.*",), "toy")) == list(settings)[:2]
    assert list(choose_settings(settings, ("student.lr", "x"), "toy")) == ["student.lr"]


def test_choose_settings__of_a_method_without_them_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'toy' has no .* Did you mean 'student.lr'\? It has: student.lr."):
        choose_settings({"student.lr": 0.1}, ("student.rl",), "toy")


def test_package__plans_and_reads_without_torch() -> None:
    code = "import sys, dfkdbench.sensitivity.study, dfkdbench.sensitivity.plot; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert "dfkdbench.sensitivity.figures" in done.stdout
    assert not {"torch", "pandas", "torchvision"} & set(done.stdout.split())

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.parts.generators.conv import ConvGenerator
from dfkdbench.parts.losses.class_entropy import ClassEntropyLoss
from dfkdbench.parts.losses.kl import KLLoss
from dfkdbench.parts.losses.one_hot import OneHotLoss
from dfkdbench.parts.options import ClassEntropyOptions, ConvOptions, KLOptions
from dfkdbench.recipe import OptimizerOptions, Options
from dfkdbench.seams import Setting, Signal, View
from dfkdbench_rdskd import METHOD, RECIPE
from dfkdbench_rdskd.exponential_increment import ExponentialIncrementCombiner
from dfkdbench_rdskd.inter_sample_diversity import InterSampleDiversityLoss
from dfkdbench_rdskd.options import ExponentialIncrementOptions, InterSampleDiversityOptions

SMALL = ConvOptions(latent=10, channels=(16, 16, 8), norm_eps=0.8, optimizer=OptimizerOptions(lr=0.01))


class Teacher(nn.Module):
    """A fixed random network with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        head = nn.Linear(288, 10)
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), head)
        self.eval().requires_grad_(False)
        head.weight.mul_(8)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


class GeneratorPhase:
    """The objective of phase 1, put together from the method's parts; keeps what it saw."""

    def __init__(self, teacher: Teacher, setting: Setting, **combiner: Any) -> None:
        self.teacher = teacher
        self.losses: dict[str, Any] = {
            "one_hot": OneHotLoss(Options(), setting),
            "class_entropy": ClassEntropyLoss(ClassEntropyOptions(), setting),
            "inter_sample_diversity": InterSampleDiversityLoss(InterSampleDiversityOptions(), setting),
        }
        self.combine = ExponentialIncrementCombiner(ExponentialIncrementOptions.model_validate(combiner), setting)
        self.history: list[dict[str, float]] = []

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        target = Signal(self.teacher(images))
        view = View(images, target, (target,))
        terms = {name: loss(view) for name, loss in self.losses.items()}
        total = self.combine(terms, dict.fromkeys(terms, 1.0))
        self.history.append({name: term.item() for name, term in terms.items()} | {"total": total.item()})
        return total


@pytest.fixture
def teacher() -> Teacher:
    return Teacher()


@pytest.fixture
def setting(make_setting: Callable[..., Setting]) -> Setting:
    return make_setting(batch_size=64, generator_steps=120)


def test_generator_phase__teacher_stays_bit_identical_in_eval_mode(teacher: Teacher, setting: Setting) -> None:
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    ConvGenerator(SMALL, setting).fit(GeneratorPhase(teacher, setting), 5)
    assert not any(module.training for module in teacher.modules())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_generator_phase__total_is_a_sawtooth_and_losses_fall(teacher: Teacher, setting: Setting) -> None:
    phase = GeneratorPhase(teacher, setting, period=20, phase=1)
    ConvGenerator(SMALL, setting).fit(phase, 120)
    excess = [step["total"] - step["inter_sample_diversity"] for step in phase.history]
    for refreshed in (21, 41, 61, 81, 101):
        assert excess[refreshed + 1] == pytest.approx(2.0, abs=0.2)
    first, last = phase.history[0], phase.history[-1]
    assert last["one_hot"] < 0.5 * first["one_hot"]
    assert last["class_entropy"] < first["class_entropy"] < 0


def test_distil_phase__generator_in_eval_mode_keeps_its_buffers(teacher: Teacher, setting: Setting) -> None:
    generator = ConvGenerator(SMALL, setting)
    generator.fit(GeneratorPhase(teacher, setting), 3)
    generator.train(RECIPE.phases["distil"].generator_mode == "train")
    before = {name: value.clone() for name, value in generator.network.state_dict().items()}
    for _ in range(3):
        generator.sample(16)
    assert all(torch.equal(value, before[name]) for name, value in generator.network.state_dict().items())


def test_recipe__student_loss_has_temperature_ten_and_its_square(setting: Setting) -> None:
    options = KLOptions.model_validate(RECIPE.student_losses["kl"].options)
    rng = torch.Generator().manual_seed(0)
    t, s = (torch.randn(6, 10, generator=rng, dtype=torch.float64) for _ in range(2))
    p, q = torch.softmax(t / 10, 1), torch.softmax(s / 10, 1)
    view = View(torch.zeros(6), Signal(t), (Signal(t),), Signal(s))
    torch.testing.assert_close(KLLoss(options, setting)(view), 100 * (p * (p / q).log()).sum() / 6)


def test_recipe__two_phases() -> None:
    generator, distil = RECIPE.phases.values()
    assert (generator.rounds, generator.generator_steps, generator.student_steps) == (2400, 1, 0)
    assert (distil.rounds, distil.generator_steps, distil.student_steps) == (None, 0, 1)
    assert distil.generator_mode == "eval"


def test_recipe__has_no_weights() -> None:
    assert {choice.weight for choice in RECIPE.losses.values()} == {1.0}


def preset_values(dataset: str, budget: str) -> dict[str, Any]:
    """Values of the presets that match, later ones winning."""
    matching = [preset.values for preset in METHOD.presets if preset.matches(dataset, "a:b", budget)]
    return {key: value for values in matching for key, value in values.items()}


@pytest.mark.parametrize(("dataset", "latent"), [("mnist", 100), ("svhn", 1000), ("cifar10", 1000)])
def test_presets__paper_budget(dataset: str, latent: int) -> None:
    values = preset_values(dataset, "paper")
    assert values.get("generator.latent", RECIPE.generator.options["latent"]) == latent
    assert values["phases.distil.rounds"] == 120_000
    assert "phases.generator.rounds" not in values
    assert "batch_size" not in values


def test_presets__cifar10_decays_at_epoch_800_of_1000() -> None:
    values = preset_values("cifar10", "paper")
    assert (values["student.schedule"], values["student.milestones"]) == ("multistep", (0.8,))


def test_presets__say_where_they_are_from() -> None:
    assert all(preset.source for preset in METHOD.presets)

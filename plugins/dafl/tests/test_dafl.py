from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.parts.combiners import SumCombiner
from dfkdbench.parts.generators.conv import ConvGenerator
from dfkdbench.parts.generators.networks import ConvNetwork
from dfkdbench.parts.losses.activation import ActivationLoss
from dfkdbench.parts.losses.class_entropy import ClassEntropyLoss
from dfkdbench.parts.losses.kl import KLLoss
from dfkdbench.parts.losses.one_hot import OneHotLoss
from dfkdbench.parts.options import ClassEntropyOptions, ConvNetworkOptions, ConvOptions, KLOptions
from dfkdbench.recipe import OptimizerOptions, Options
from dfkdbench.seams import Setting, Signal, View
from dfkdbench_dafl import METHOD, RECIPE

WEIGHTS = {name: choice.weight for name, choice in RECIPE.losses.items()}


@pytest.fixture
def setting() -> Setting:
    return Setting(
        classes=10,
        image_shape=(1, 8, 8),
        device=torch.device("cpu"),
        batch_size=64,
        replay_size=0,
        generator_steps=60,
        student_steps=60,
        teacher_count=1,
        teacher_shapes={"features": (24,)},
        rng=lambda role: torch.Generator().manual_seed(len(role)),
    )


class Teacher(nn.Module):
    """A fixed random network with batch norm; its features are the input of the last linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 24))
        self.head = nn.Linear(24, 10)
        self.eval().requires_grad_(False)
        self.head.weight.mul_(8)

    def forward(self, images: Tensor) -> Signal:
        features = torch.relu(self.body(images))
        return Signal(self.head(features), features)


class Objective:
    """DAFL's generator objective, put together from the recipe; keeps what it saw."""

    def __init__(self, teacher: Teacher, setting: Setting, weights: dict[str, float]) -> None:
        balance = ClassEntropyOptions.model_validate(RECIPE.losses["class_entropy"].options)
        self.losses: dict[str, Any] = {
            "one_hot": OneHotLoss(Options(), setting),
            "class_entropy": ClassEntropyLoss(balance, setting),
            "activation": ActivationLoss(Options(), setting),
        }
        self.teacher, self.weights, self.combine = teacher, weights, SumCombiner(Options(), setting)
        self.history: list[dict[str, float]] = []
        self.images, self.target = torch.empty(0), Signal(torch.empty(0))

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        target = self.teacher(images)
        self.images, self.target = images.detach(), target.detach()
        view = View(images, target, (target,))
        terms = {name: loss(view) for name, loss in self.losses.items() if self.weights[name]}
        self.history.append({name: term.item() for name, term in terms.items()})
        return self.combine(terms, self.weights)


def small_generator(setting: Setting) -> ConvGenerator:
    options = ConvOptions(latent=10, channels=(16, 16, 8), norm_eps=0.8, optimizer=OptimizerOptions(lr=0.01))
    return ConvGenerator(options, setting)


def test_objective__is_the_weighted_sum_of_the_formulas(setting: Setting) -> None:
    teacher = Teacher().double()
    images = torch.randn(64, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    loss = Objective(teacher, setting, WEIGHTS)(images)
    target = teacher(images)
    p = torch.exp(target.logits) / torch.exp(target.logits).sum(1, keepdim=True)
    confidence = -p.max(1).values.log().mean()
    balance = sum(m * math.log10(m) for m in p.mean(0).tolist())
    assert target.features is not None
    expected = 1.0 * confidence + 5.0 * balance - 0.1 * target.features.abs().mean()
    torch.testing.assert_close(loss, expected)


def test_generator_step__leaves_the_teacher_bit_identical(setting: Setting) -> None:
    teacher = Teacher()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    small_generator(setting).fit(Objective(teacher, setting, WEIGHTS), 5)
    assert not any(module.training for module in teacher.modules())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_generator_step__losses_reach_their_good_side(setting: Setting) -> None:
    objective = Objective(Teacher(), setting, WEIGHTS)
    small_generator(setting).fit(objective, 150)
    first = objective.history[0]
    last = {name: statistics.mean(terms[name] for terms in objective.history[-30:]) for name in first}
    assert last["class_entropy"] < -0.95
    assert last["one_hot"] < first["one_hot"]
    assert last["activation"] < first["activation"] < 0


def test_generator_step__without_class_entropy_classes_collapse(setting: Setting) -> None:
    covered = []
    for weight in (5.0, 0.0):
        objective = Objective(Teacher(), setting, WEIGHTS | {"class_entropy": weight})
        small_generator(setting).fit(objective, 60)
        classes = torch.bincount(objective.target.logits.argmax(1), minlength=10)
        covered.append(int((classes > 2).sum()))
    assert covered[0] >= 6
    assert covered[1] <= 2


def test_shared_images__gradients_of_generator_and_student_do_not_mix(setting: Setting) -> None:
    teacher = Teacher()
    objective = Objective(teacher, setting, WEIGHTS)
    generator = small_generator(setting)
    alone = small_generator(setting)
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    kl = KLLoss(KLOptions.model_validate(RECIPE.student_losses["kl"].options), setting)
    for _ in range(2):
        generator.fit(objective, 1)
        logits = student(objective.images)
        torch.autograd.backward(kl(View(objective.images, objective.target, (objective.target,), Signal(logits))))
    assert all(p.grad is not None for p in student.parameters())
    alone.fit(Objective(teacher, setting, WEIGHTS), 2)
    for mine, other in zip(generator.network.parameters(), alone.network.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_shared_images__are_those_from_before_the_update(setting: Setting) -> None:
    objective = Objective(Teacher(), setting, WEIGHTS)
    generator, untouched = small_generator(setting), small_generator(setting)
    generator.fit(objective, 1)
    assert torch.equal(objective.images, untouched.sample(64).images)


@pytest.mark.parametrize(("dataset", "channels", "count"), [("mnist", 1, 1_049_985), ("cifar10", 3, 8_423_939)])
def test_recipe__generator_has_the_published_size(dataset: str, channels: int, count: int) -> None:
    latent = preset_values(dataset, "paper").get("generator.latent", RECIPE.generator.options["latent"])
    network = ConvNetwork(
        ConvNetworkOptions(latent=latent, norm_eps=RECIPE.generator.options["norm_eps"]), (channels, 32, 32)
    )
    assert sum(p.numel() for p in network.parameters()) == count


def test_recipe__generator_stays_in_train_mode_and_images_are_shared() -> None:
    (phase,) = RECIPE.phases.values()
    assert (phase.student_images, phase.generator_mode) == ("shared", "train")
    assert (phase.generator_steps, phase.student_steps, phase.order) == (1, 1, "generator_first")


def preset_values(dataset: str, budget: str) -> dict[str, Any]:
    """Values of the presets that match, later ones winning."""
    matching = [preset.values for preset in METHOD.presets if preset.matches(dataset, "a:b", budget)]
    return {key: value for values in matching for key, value in values.items()}


@pytest.mark.parametrize(
    ("dataset", "weights", "samples"),
    [
        ("mnist", (1.0, 5.0, 0.1), 12.288e6),
        ("cifar10", (0.05, 5.0, 0.01), 245.76e6),
        ("cifar100", (0.5, 20.0, 0.1), 245.76e6),
    ],
)
def test_presets__weights_and_images_of_the_official_command_lines(
    dataset: str, weights: tuple[float, float, float], samples: float
) -> None:
    values = preset_values(dataset, "paper")
    names = ("one_hot", "class_entropy", "activation")
    assert tuple(values.get(f"losses.{name}.weight", WEIGHTS[name]) for name in names) == weights
    assert values["phases.distil.rounds"] * values.get("batch_size", RECIPE.batch_size) == samples
    assert RECIPE.losses["class_entropy"].options == {"log_base": 10}


def test_presets__say_where_they_are_from() -> None:
    assert all(preset.source for preset in METHOD.presets)

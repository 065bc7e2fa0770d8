from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.assembly import Assembly
from dfkdbench.datasets.digits import load_digits
from dfkdbench.datasets.images import normalise
from dfkdbench.errors import PlanError
from dfkdbench.loop import ImageObjective
from dfkdbench.parts.generators.networks import ConvNetwork
from dfkdbench.parts.options import ConvOptions
from dfkdbench.plan import Plan
from dfkdbench.records import Result
from dfkdbench.seams import View, read_signal
from dfkdbench_dfq import METHOD, RECIPE, REGULARISERS

Assemble = Callable[..., Assembly]
MakePlan = Callable[..., Plan]
OFFICIAL = "phases.distil.student_steps=10"


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(network: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def value_on(assembly: Assembly, loss: str, images: Tensor) -> float:
    """One image loss of the run on other images."""
    with torch.no_grad():
        target = read_signal(assembly.teacher_networks[0], images, frozenset({"batch_norm"}))
        return assembly.parts.losses.losses[loss](View(images, target, (target,))).item()


def test_objective__of_the_game_is_the_weighted_sum_of_the_formulas(assemble: Assemble) -> None:
    assembly = assemble("losses.gaussian_batch_norm.weight=0.01")
    parts, distil = assembly.parts, assembly.plan.phases[1]
    weights = parts.losses.weights
    images = torch.randn(16, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    objective = ImageObjective(parts, distil)(images)
    parts.student.eval()
    t, s = (network(images).detach().double() for network in (assembly.teacher_networks[0], parts.student))
    p, q = (torch.exp(x) / torch.exp(x).sum(1, keepdim=True) for x in (t, s))
    m = p.mean(0)
    expected = (
        -(p * (p / q).log()).sum() / 16
        + weights["sample_entropy"] * -(p * p.log()).sum() / 16
        + weights["class_entropy"] * (m * m.log()).sum()
        + 0.01 * value_on(assembly, "gaussian_batch_norm", images)
    )
    torch.testing.assert_close(objective.double(), expected, rtol=1e-4, atol=1e-6)


def test_recipe__regularisers_share_one_weight_and_maximise_the_batch_entropy() -> None:
    assert {RECIPE.losses[name].weight for name in REGULARISERS} == {0.01}
    assert RECIPE.losses["adversarial_kl"].weight == 1.0
    assert set(RECIPE.losses) == {*REGULARISERS, "adversarial_kl"}


def test_entropies__difference_lies_between_minus_ln_k_and_zero(assemble: Assemble) -> None:
    assembly = assemble()
    for seed in range(3):
        images = (1 + seed) * torch.randn(32, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
        sample, classes = (value_on(assembly, name, images) for name in ("sample_entropy", "class_entropy"))
        assert 0 <= sample <= -classes + 1e-6 <= math.log(10) + 2e-6


def test_warm_up__leaves_the_student_alone_and_asks_it_nothing(assemble: Assemble) -> None:
    assembly = assemble("phases.warm_up.rounds=3")
    student, teacher = state_of(assembly.student), state_of(assembly.teacher_networks[0])
    calls: list[object] = []
    assembly.student.register_forward_hook(lambda *call: calls.append(call))
    for _ in range(3):
        assembly.loop.advance()
    assert (changed(assembly.student, student), calls) == (set(), [])
    assert changed(assembly.teacher_networks[0], teacher) == set()
    assert (assembly.meter.generator_steps, assembly.meter.student_steps) == (3, 0)
    assert set(assembly.meter.flush()) == set(REGULARISERS)
    assembly.loop.advance()
    assert "adversarial_kl" in assembly.meter.flush()


def test_game__ten_student_steps_to_one_of_the_generator(assemble: Assemble) -> None:
    assembly = assemble(OFFICIAL, "phases.warm_up.rounds=1")
    for rounds in (0, 1, 2):
        assembly.loop.advance()
        assert (assembly.meter.generator_steps, assembly.meter.student_steps) == (1 + rounds, 10 * rounds)


def test_game__modes_of_student_and_generator(assemble: Assemble) -> None:
    assembly = assemble("phases.warm_up.rounds=1")
    assembly.loop.advance()
    student, generator = state_of(assembly.student), state_of(assembly.generator.network)
    # The generator's step: the student, in eval mode, keeps its statistics as well.
    assembly.generator.fit(ImageObjective(assembly.parts, assembly.plan.phases[1]), 1)
    assert changed(assembly.student, student) == set()
    assert "project.weight" in changed(assembly.generator.network, generator)
    # The student's images: the generator, in eval mode, keeps its statistics.
    generator = state_of(assembly.generator.network)
    assembly.generator.sample(8)
    assert changed(assembly.generator.network, generator) == set()


def test_warm_up__brings_images_towards_the_statistics_of_real_ones(assemble: Assemble) -> None:
    assembly = assemble("generator.optimizer.lr=0.005", "phases.warm_up.rounds=40", "generator.channels=[16,16,8]")
    pixels, _ = load_digits(None, train=True).take(torch.arange(256))
    real = normalise(pixels, assembly.plan.input.mean, assembly.plan.input.std)
    noise = torch.randn(256, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    of_real, of_noise = (value_on(assembly, "gaussian_batch_norm", images) for images in (real, noise))
    for _ in range(40):
        assembly.loop.advance()
    of_generated = value_on(assembly, "gaussian_batch_norm", assembly.generator.sample(256).images)
    assert of_real < of_generated < of_noise
    assert of_real < 0.05 * of_noise
    assert of_generated < 0.3 * of_noise


def test_without_regularisers__the_adversarial_term_is_left(plan: MakePlan) -> None:
    left_out = [f"losses.{name}.weight=0" for name in REGULARISERS]
    with pytest.raises(PlanError, match=r"--set phases.warm_up.generator_steps=0"):
        plan(*left_out)
    assert set(plan(*left_out, "phases.warm_up.generator_steps=0").losses) == {"adversarial_kl"}


def test_teacher_without_batch_norm__is_refused_with_the_way_out(plan: MakePlan) -> None:
    with pytest.raises(PlanError, match=r"'lenet_s' has no batch norm.*--loss gaussian_batch_norm=0"):
        plan(pair="lenet_s:lenet_xs")
    without = plan("losses.gaussian_batch_norm.weight=0", pair="lenet_s:lenet_xs")
    assert without.league == "input-gradients"


def test_league__is_that_of_batch_norm_statistics(plan: MakePlan) -> None:
    assert plan().league == "batch-norm"


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_presets__paper_budget(plan: MakePlan, dataset: str) -> None:
    planned = plan(dataset=dataset, pair="resnet34:resnet18", budget="paper")
    assert [phase.rounds for phase in planned.phases] == [20_000, 80_000]
    assert (planned.generator_steps, planned.student_steps, planned.recipe.batch_size) == (100_000, 800_000, 256)
    student = planned.recipe.student
    assert (student.lr, student.nesterov, student.weight_decay, student.schedule) == (0.1, True, 0.0, "cosine")


def test_recipe__generator_has_the_layers_of_the_re_implementation() -> None:
    network = ConvNetwork(ConvOptions.model_validate(RECIPE.generator.options, strict=False), (3, 32, 32))
    kinds = [type(layer).__name__ for layer in network.layers if not isinstance(layer, nn.Identity)]
    block = ["UpsampledConvolution", "BatchNorm2d", "LeakyReLU"]
    assert kinds == [*3 * block, "Conv2d", "Tanh", "BatchNorm2d"]
    assert sum(p.numel() for p in network.parameters()) == 5_753_859
    assert network.first_shape == (512, 4, 4)
    relu = network.layers[3]
    assert torch.equal(relu(torch.tensor([-1.0, 2.0])), torch.tensor([0.0, 2.0]))


def test_presets__say_where_they_are_from() -> None:
    assert all(preset.source for preset in METHOD.presets)


@pytest.mark.parametrize(
    ("pair", "settings"),
    [("resnet_s:resnet_xs", {}), ("lenet_s:lenet_xs", {"losses.gaussian_batch_norm.weight": 0})],
)
def test_run__from_end_to_end(run: Callable[..., Result], pair: str, settings: dict[str, float]) -> None:
    result = run(pair=pair, settings=settings)
    assert (result.status, result.student_samples) == ("finished", 2560)


README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", re.findall(r"`([a-z_0-9.]+=[^`\s]+)`", README))
def test_readme__every_option_is_one(plan: MakePlan, setting: str) -> None:
    assert plan(setting).run_id != plan().run_id

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.parts.generators.conv import ConvGenerator
from dfkdbench.parts.options import ConvOptions
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.seams import Batch, Setting, Signal, View
from dfkdbench_mad.bounded_kl import BoundedKLLoss
from dfkdbench_mad.ema import EmaReplay
from dfkdbench_mad.options import BoundedKLOptions, EmaOptions

MakePair = Callable[..., tuple[ConvGenerator, EmaReplay]]


def confidence(images: Tensor, labels: Tensor | None = None) -> Tensor:
    return (images.mean((1, 2, 3)) - torch.linspace(-1, 1, len(images))).square().mean() + images[:, :, 0].mean()


def never(images: Tensor) -> Signal:
    raise AssertionError("a copy asks no teacher")


@pytest.fixture
def make(make_setting: Callable[..., Setting]) -> MakePair:
    def build(seed: int = 0, spectral_norm: bool = False, **options: Any) -> tuple[ConvGenerator, EmaReplay]:
        setting = make_setting(seed)
        generator = ConvGenerator(
            ConvOptions(latent=6, channels=(4, 4, 4), spectral_norm=spectral_norm, optimizer=OptimizerOptions(lr=0.05)),
            setting,
        )
        memory = EmaReplay(EmaOptions.model_validate(options), setting)
        memory.follow(generator)
        return generator, memory

    return build


def learn(generator: ConvGenerator, memory: EmaReplay, rounds: int = 1, steps: int = 1) -> None:
    for _ in range(rounds):
        generator.fit(confidence, steps)
        memory.generator_learned(steps)


def network_of(memory: EmaReplay) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in memory.state_dict()["network"].items()}


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def test_ema__starts_as_the_generator(make: MakePair) -> None:
    generator, memory = make()
    copied = network_of(memory)
    assert all(torch.equal(value, copied[name]) for name, value in generator.network.state_dict().items())


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_ema__moves_by_the_formula(make: MakePair, spectral_norm: bool) -> None:
    generator, memory = make(spectral_norm=spectral_norm, alpha=0.9)
    expected = weights(generator.network)
    for _ in range(5):
        learn(generator, memory)
        new = weights(generator.network)
        expected = {name: 0.9 * value + 0.1 * new[name] for name, value in expected.items()}
    copied = network_of(memory)
    for name, value in expected.items():
        torch.testing.assert_close(copied[name], value)


def test_ema__momentum_of_zero_is_the_generator_and_of_one_its_start(make: MakePair) -> None:
    generator, memory = make(alpha=0.0)
    for _ in range(3):
        learn(generator, memory)
        copied = network_of(memory)
        assert all(torch.equal(value, copied[name]) for name, value in generator.network.state_dict().items())
    generator, memory = make(alpha=1.0)
    before = weights(generator.network)
    learn(generator, memory, 3)
    copied = network_of(memory)
    assert all(torch.equal(copied[name], value) for name, value in before.items())


def test_ema__several_steps_at_once_move_with_the_power_of_the_momentum(make: MakePair) -> None:
    generator, memory = make(alpha=0.8)
    before = weights(generator.network)
    learn(generator, memory, steps=3)
    new, copied = weights(generator.network), network_of(memory)
    for name, value in before.items():
        torch.testing.assert_close(copied[name], 0.8**3 * value + (1 - 0.8**3) * new[name])


@pytest.mark.parametrize("buffers", ["copy", "ema"])
def test_ema__buffers_are_copied_or_averaged(make: MakePair, buffers: str) -> None:
    generator, memory = make(buffers=buffers, alpha=0.5)
    before = copy.deepcopy(dict(generator.network.named_buffers()))
    learn(generator, memory)
    copied = network_of(memory)
    for name, value in generator.network.named_buffers():
        averaged = buffers == "ema" and value.is_floating_point()
        torch.testing.assert_close(copied[name], (before[name] + value) / 2 if averaged else value)


def test_ema__stays_where_it_is_while_the_generator_does(make: MakePair) -> None:
    generator, memory = make(mode="eval")
    learn(generator, memory, 2)
    before = network_of(memory)
    for _ in range(3):
        memory.observe(generator.sample(4), never)
        memory.sample(4, never)
    assert all(torch.equal(value, before[name]) for name, value in network_of(memory).items())


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_ema__images_are_of_the_copy_in_the_wanted_mode(make: MakePair, mode: str) -> None:
    generator, memory = make(mode=mode)
    learn(generator, memory, 4)
    twin, twin_memory = make(mode=mode)
    learn(twin, twin_memory, 4)
    latents = twin.draw_latents(4)
    network = copy.deepcopy(generator.network).train(mode == "train")
    network.load_state_dict(network_of(memory))
    with torch.no_grad():
        expected = network(latents)
    batch = memory.sample(4, never)
    assert batch is not None
    assert torch.equal(batch.images, expected)
    assert not batch.images.requires_grad


def test_ema__gets_no_gradient_and_leaves_the_generator_alone(make: MakePair) -> None:
    generator, memory = make()
    alone, _ = make()
    learn(generator, memory, 3)
    alone.fit(confidence, 3)
    assert all(torch.equal(value, weights(alone.network)[name]) for name, value in weights(generator.network).items())
    assert all(parameter.requires_grad for parameter in generator.network.parameters())
    batch = memory.sample(4, never)
    assert batch is not None
    assert memory._network is not None
    assert not any(parameter.requires_grad for parameter in memory._network.parameters())


def test_ema__drifts_less_than_the_generator(make: MakePair) -> None:
    generator, memory = make(alpha=0.95)
    assert memory._network is not None
    latents = generator.draw_latents(16)
    drift = {"generator": 0.0, "copy": 0.0}
    before: dict[str, Tensor] = {}
    for _ in range(30):
        learn(generator, memory)
        with torch.no_grad():
            now = {"generator": generator.network.eval()(latents), "copy": memory._network.eval()(latents)}
        for name in before:
            drift[name] += (now[name] - before[name]).abs().mean().item()
        before = now
    assert drift["copy"] < drift["generator"]


def test_nbytes__is_one_more_generator_and_constant(make: MakePair) -> None:
    generator, memory = make()
    expected = sum(value.nbytes for value in generator.network.state_dict().values())
    assert memory.nbytes == expected
    learn(generator, memory, 3)
    assert memory.nbytes == expected == sum(value.nbytes for value in network_of(memory).values())


@pytest.mark.parametrize("stop", [0, 4])
def test_ema__resumes_to_the_bit(make: MakePair, tmp_path: Any, stop: int) -> None:
    generator, memory = make()
    learn(generator, memory, stop)
    save_tree([generator.state_dict(), memory.state_dict()], tmp_path / "state.safetensors")
    resumed, resumed_memory = make(seed=1)
    saved = load_tree(tmp_path / "state.safetensors")
    resumed.load_state_dict(saved[0])
    resumed_memory.load_state_dict(saved[1])
    for _ in range(3):
        learn(generator, memory)
        learn(resumed, resumed_memory)
        mine, other = memory.sample(4, never), resumed_memory.sample(4, never)
        assert mine is not None
        assert other is not None
        assert torch.equal(mine.images, other.images)


def test_ema__without_a_generator_gives_nothing_and_takes_nothing(make_setting: Callable[..., Setting]) -> None:
    memory = EmaReplay(EmaOptions(), make_setting())
    memory.observe(Batch(torch.zeros(1)), never)
    memory.generator_learned(1)
    assert memory.sample(4, never) is None
    assert memory.nbytes == 0
    with pytest.raises(ValueError, match="must follow a generator"):
        memory.load_state_dict({"network": {}})


def test_bounded_kl__is_the_formula_and_stops_at_the_bound(make_setting: Callable[..., Setting]) -> None:
    rng = torch.Generator().manual_seed(0)
    t, s = (2 * torch.randn(8, 10, generator=rng, dtype=torch.float64) for _ in range(2))
    s.requires_grad_()
    view = View(torch.zeros(8), Signal(t), (Signal(t),), Signal(s))
    p, q = torch.softmax(t / 2, 1), torch.softmax(s / 2, 1)
    each = (p * (p / q).log()).sum(1)
    torch.testing.assert_close(BoundedKLLoss(BoundedKLOptions(temperature=2.0), make_setting())(view), -each.mean())
    bound = each.mean().item()
    bounded = BoundedKLLoss(BoundedKLOptions(temperature=2.0, bound=bound), make_setting())(view)
    torch.testing.assert_close(bounded, -each.clamp(max=bound).mean())
    (gradient,) = torch.autograd.grad(bounded, s)
    assert torch.equal(gradient.abs().sum(1) > 0, each <= bound)
    same = View(torch.zeros(8), Signal(t), (Signal(t),), Signal(t))
    assert BoundedKLLoss(BoundedKLOptions(), make_setting())(same) == 0

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.seams import Setting
from dfkdbench_fast.meta import MetaGenerator
from dfkdbench_fast.options import MetaOptions

MakeSetting = Callable[..., Setting]
SMALL = {"latent": 8, "channels": (8, 8, 4), "augmentation": "none"}


class Objective:
    """Confidence of a teacher in the labels; keeps what it saw."""

    def __init__(self, teacher: Any) -> None:
        self.teacher = teacher
        self.images: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.values: list[float] = []
        self.on_step: Callable[[], None] = lambda: None

    def __call__(self, images: Tensor, labels: Tensor, originals: Tensor) -> Tensor:
        self.on_step()
        self.images.append(images.detach())
        self.labels.append(labels)
        value = torch.nn.functional.cross_entropy(self.teacher(images).logits, labels)
        self.values.append(value.item())
        return value


class StatisticsObjective(Objective):
    """Distance of the teacher's batch-norm statistics on the images from those it keeps."""

    def __call__(self, images: Tensor, labels: Tensor, originals: Tensor) -> Tensor:
        layers = self.teacher(images).batch_norm
        distances = [
            (layer.mean - layer.running_mean).norm() + (layer.variance - layer.running_variance).norm()
            for layer in layers
        ]
        self.values.append(sum(distances).item())
        return sum(distances)


def make(setting: Setting, **options: Any) -> MetaGenerator:
    return MetaGenerator(MetaOptions(**(SMALL | options)), setting)


def weights(network: torch.nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def pool_of(generator: MetaGenerator) -> Tensor:
    images = generator.state_dict()["images"]["pool"]["images"]
    assert isinstance(images, Tensor)
    return images


def record_gradients(generator: MetaGenerator) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """Gradients of the copy that are added up, and those with which the network is moved."""
    copied: list[list[Tensor]] = []
    kept: list[list[Tensor]] = []
    add, step = generator._add_gradients, generator._meta.step

    def spy_add() -> None:
        copied.append([parameter.grad.clone() for parameter in generator.copy.parameters()])
        add()

    def spy_step() -> None:
        kept.append([parameter.grad.clone() for parameter in generator.network.parameters()])
        step()

    generator._add_gradients = spy_add
    generator._meta.step = spy_step
    return copied, kept


@pytest.mark.parametrize(("gradients", "steps"), [("all", 1), ("all", 3), ("last", 3)])
def test_fomaml__moves_the_network_by_gradients_along_the_copys_way(
    make_setting: MakeSetting, teacher: Any, gradients: str, steps: int
) -> None:
    generator = make(make_setting(), gradients=gradients)
    copied, kept = record_gradients(generator)
    a_call = steps if gradients == "all" else 1
    for call in (1, 2):
        generator.fit(Objective(teacher), steps)
        assert len(copied) == call * a_call
        for index, gradient in enumerate(kept[call - 1]):
            torch.testing.assert_close(gradient, sum(step[index] for step in copied[-a_call:]))


def test_fomaml__one_step_is_the_plain_gradient(make_setting: MakeSetting, teacher: Any) -> None:
    generator, objective = make(make_setting()), Objective(teacher)
    _, kept = record_gradients(generator)
    plain = copy.deepcopy(generator.network).train()
    state = generator._rng.get_state()
    generator.fit(objective, 1)
    latents = torch.randn(16, 8, generator=torch.Generator().set_state(state))
    value = objective((plain(latents) - 0.3) / 0.2, objective.labels[0], latents)
    for gradient, expected in zip(kept[0], torch.autograd.grad(value, list(plain.parameters())), strict=True):
        torch.testing.assert_close(gradient, expected)


def test_reptile__moves_the_network_towards_the_copy(make_setting: MakeSetting, teacher: Any) -> None:
    generator = make(make_setting(), meta="reptile")
    _, kept = record_gradients(generator)
    before = weights(generator.network)
    generator.fit(Objective(teacher), 3)
    for start, end, gradient in zip(before, generator.copy.parameters(), kept[0], strict=True):
        torch.testing.assert_close(gradient, 67 * (start - end.detach()))


@pytest.mark.parametrize("meta", ["fomaml", "reptile"])
def test_fit__moves_the_network_once_by_at_most_its_rate(make_setting: MakeSetting, teacher: Any, meta: str) -> None:
    generator, objective = make(make_setting(), meta=meta, meta_lr=0.01), Objective(teacher)
    kept: list[list[Tensor]] = []
    copies: list[list[Tensor]] = []

    def note() -> None:
        kept.append(weights(generator.network))
        copies.append(weights(generator.copy))

    objective.on_step = note
    before = weights(generator.network)
    generator.fit(objective, 4)
    assert all(torch.equal(a, b) for step in kept for a, b in zip(step, before, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(copies[0], before, strict=True))
    assert not any(torch.equal(copies[i][0], copies[i + 1][0]) for i in range(3))
    moved = [(a - b).abs().max().item() for a, b in zip(weights(generator.network), before, strict=True)]
    assert max(moved) == pytest.approx(0.01, rel=0.01)


def test_none__the_network_stays(make_setting: MakeSetting, teacher: Any) -> None:
    generator = make(make_setting(), meta="none")
    before = weights(generator.network)
    generator.fit(Objective(teacher), 3)
    assert all(torch.equal(a, b) for a, b in zip(weights(generator.network), before, strict=True))


def test_meta_learning__lowers_the_objective_of_the_first_step(make_setting: MakeSetting, teacher: Any) -> None:
    learned, fixed = StatisticsObjective(teacher), StatisticsObjective(teacher)
    one, other = make(make_setting()), make(make_setting(), meta="none")
    for _ in range(15):
        one.fit(learned, 2)
        other.fit(fixed, 2)
    assert learned.values[-2] < 0.9 * learned.values[0]
    assert learned.values[-1] < 0.9 * fixed.values[-1]


def test_fit__keeps_one_batch_of_the_best_images_a_call(make_setting: MakeSetting, teacher: Any) -> None:
    generator, objective = make(make_setting(), lr=0.3, eight_bit=False, batch_size=6), Objective(teacher)
    generator.fit(objective, 5)
    best = min(range(5), key=objective.values.__getitem__)
    torch.testing.assert_close((pool_of(generator) - 0.3) / 0.2, objective.images[best])
    generator.fit(objective, 5)
    assert len(generator.images) == 12


def test_fit__running_statistics_of_the_network_stay(make_setting: MakeSetting, teacher: Any) -> None:
    generator = make(make_setting())
    before = {name: value.clone() for name, value in generator.network.named_buffers()}
    generator.sample(4)
    generator.fit(Objective(teacher), 3)
    assert all(torch.equal(value, before[name]) for name, value in generator.network.named_buffers())


def test_reset__draws_the_first_layers_anew_once(make_setting: MakeSetting, teacher: Any) -> None:
    generator, objective = make(make_setting(), reset_call=2, meta="none"), Objective(teacher)
    scales = []
    for _ in range(3):
        generator.fit(objective, 1)
        scales.append(dict(generator.network.named_parameters())["layers.0.weight"].detach().clone())
    assert torch.equal(scales[0], torch.ones(8))
    assert scales[1].abs().max() < 0.1
    assert torch.equal(scales[1], scales[2])
    assert (generator.network.project.bias == 0).all()


def test_sample__of_an_empty_pool_gives_images_of_the_network(make_setting: MakeSetting) -> None:
    batch = make(make_setting()).sample(5)
    assert batch.images.shape == (5, 1, 8, 8)
    assert batch.labels is not None


@pytest.mark.parametrize("meta", ["fomaml", "reptile"])
def test_state__resumes_exactly(make_setting: MakeSetting, teacher: Any, meta: str) -> None:
    options: dict[str, Any] = {"meta": meta, "reset_call": 3}
    generator, resumed = make(make_setting(), **options), make(make_setting(seed=7), **options)
    for _ in range(2):
        generator.fit(Objective(teacher), 2)
    resumed.load_state_dict(copy.deepcopy(generator.state_dict()))
    for each in (generator, resumed):
        each.fit(Objective(teacher), 2)
    for mine, theirs in zip(weights(generator.network), weights(resumed.network), strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(pool_of(generator), pool_of(resumed))

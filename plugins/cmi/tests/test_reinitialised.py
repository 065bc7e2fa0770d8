from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.parts.generators.pooled import build_pixel_network
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.seams import Setting
from dfkdbench_cmi.options import ReinitialisedOptions
from dfkdbench_cmi.reinitialised import ReinitialisedGenerator

MakeSetting = Callable[..., Setting]
SMALL = {"latent": 8, "channels": (8, 8, 4), "optimizer": OptimizerOptions(lr=0.02)}


class Objective:
    """Confidence of a teacher in the labels; keeps what it saw."""

    def __init__(self, teacher: Any) -> None:
        self.teacher = teacher
        self.images: list[Tensor] = []
        self.originals: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.values: list[float] = []
        self.on_step: Callable[[], None] = lambda: None

    def __call__(self, images: Tensor, labels: Tensor, originals: Tensor) -> Tensor:
        self.on_step()
        self.images.append(images.detach())
        self.originals.append(originals.detach())
        self.labels.append(labels)
        value = torch.nn.functional.cross_entropy(self.teacher(images).logits, labels)
        self.values.append(value.item())
        return value


def make(setting: Setting, **options: Any) -> ReinitialisedGenerator:
    return ReinitialisedGenerator(ReinitialisedOptions(**(SMALL | options)), setting)


def pixels_of(generator: ReinitialisedGenerator) -> Tensor:
    state = generator.state_dict()["images"]["pool"]["images"]
    assert isinstance(state, Tensor)
    return state


def test_network__has_the_published_size(make_setting: MakeSetting) -> None:
    network = build_pixel_network(ReinitialisedOptions(), make_setting(image_shape=(3, 32, 32)))
    assert sum(parameter.numel() for parameter in network.parameters()) == 2_328_899


def test_fit__adds_exactly_one_batch_a_call(make_setting: MakeSetting, teacher: Any) -> None:
    generator = make(make_setting(), batch_size=12)
    for calls in (1, 2, 3):
        generator.fit(Objective(teacher), 2)
        assert len(generator.images) == 12 * calls


def test_fit__keeps_the_images_of_the_lowest_objective(make_setting: MakeSetting, teacher: Any) -> None:
    generator, objective = make(make_setting(), optimizer=OptimizerOptions(lr=0.5), eight_bit=False), Objective(teacher)
    generator.fit(objective, 12)
    best = min(range(12), key=objective.values.__getitem__)
    torch.testing.assert_close((pixels_of(generator) - 0.3) / 0.2, objective.originals[best])


def test_fit__lowers_the_objective_by_weights_and_latents(make_setting: MakeSetting, teacher: Any) -> None:
    objective = Objective(teacher)
    make(make_setting(), augmentation="none").fit(objective, 40)
    assert objective.values[-1] < 0.5 * objective.values[0]


def test_fit__starts_from_fresh_weights_latents_and_classes(make_setting: MakeSetting, teacher: Any) -> None:
    generator, objective = make(make_setting()), Objective(teacher)
    starts: list[dict[str, Tensor]] = []
    objective.on_step = lambda: starts.append({k: v.clone() for k, v in generator.network.named_parameters()})
    generator.fit(objective, 1)
    generator.fit(objective, 1)
    first, second = starts
    for name, weight in first.items():
        if weight.ndim > 1 or weight.mean() > 0.5:
            assert not (weight == second[name]).any(), name
            assert weight.std().item() == pytest.approx(0.02, rel=0.6)
        else:
            assert (weight == 0).all(), name
    assert not torch.equal(objective.labels[0], objective.labels[1])


def test_fit__pixels_are_within_range_and_normalised(make_setting: MakeSetting, teacher: Any) -> None:
    objective = Objective(teacher)
    generator = make(make_setting(), augmentation="crop_flip")
    generator.fit(objective, 3)
    assert pixels_of(generator).min() >= 0
    assert pixels_of(generator).max() <= 1
    levels = 255 * pixels_of(generator)
    torch.testing.assert_close(levels, levels.round())
    seen = 0.2 * objective.images[0] + 0.3
    assert seen.min() == pytest.approx(0, abs=1e-6)  # the border that a crop brings in is black
    assert (0.2 * objective.originals[0] + 0.3).min() > 0


def test_fit__changes_nothing_of_the_teacher(make_setting: MakeSetting, teacher: Any) -> None:
    before = copy.deepcopy(teacher.state_dict())
    make(make_setting()).fit(Objective(teacher), 2)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_sample__draws_pool_images_with_their_classes(make_setting: MakeSetting, teacher: Any) -> None:
    generator, objective = make(make_setting(), augmentation="none"), Objective(teacher)
    empty = generator.sample(5)
    assert empty.images.shape == (5, 1, 8, 8)
    generator.fit(objective, 1)
    batch = generator.sample(50)
    pool = (pixels_of(generator) - 0.3) / 0.2
    assert batch.labels is not None
    for image, label in zip(batch.images, batch.labels, strict=True):
        matches = [i for i, kept in enumerate(pool) if torch.allclose(kept, image)]
        assert label in objective.labels[0][matches]


def test_capacity__the_oldest_make_room(make_setting: MakeSetting, teacher: Any) -> None:
    generator = make(make_setting(), capacity=20)
    for _ in range(3):
        generator.fit(Objective(teacher), 1)
    assert len(generator.images) == 20


def test_state__resumes_exactly(make_setting: MakeSetting, teacher: Any) -> None:
    setting, other = make_setting(), make_setting(seed=7)
    generator, resumed = make(setting), make(other)
    generator.fit(Objective(teacher), 2)
    resumed.load_state_dict(copy.deepcopy(generator.state_dict()))
    for role in ("generator.augmentation", "generator.pool"):  # saved with the run's random streams
        other.rng(role).set_state(setting.rng(role).get_state())
    for each in (generator, resumed):
        each.fit(Objective(teacher), 2)
    assert torch.equal(pixels_of(generator), pixels_of(resumed))
    assert torch.equal(generator.sample(4).images, resumed.sample(4).images)


def test_sides__that_four_does_not_divide_are_refused(make_setting: MakeSetting) -> None:
    with pytest.raises(PlanError, match="divisible by 4"):
        make(make_setting(image_shape=(1, 10, 10)))

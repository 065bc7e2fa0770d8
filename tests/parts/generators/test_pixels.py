from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from dfkdbench.errors import PlanError
from dfkdbench.parts.generators.pixels import PixelsGenerator
from dfkdbench.parts.options import PixelsOptions
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.seams import Setting

MakeSetting = Callable[..., Setting]
NORMALISED = {"image_shape": (2, 6, 4), "pixel_mean": (0.5, 0.2), "pixel_std": (0.25, 0.5), "batch_size": 5}
LOW, HIGH = torch.tensor([-2.0, -0.4]), torch.tensor([2.0, 1.6])


class Seen:
    """An objective that pulls images towards a value and keeps what it saw."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value
        self.images: list[Tensor] = []
        self.labels: list[Tensor] = []

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        self.images.append(images.detach().clone())
        self.labels.append(labels)
        return (images - self.value).square().mean()


def pixels(setting: Setting, **options: Any) -> PixelsGenerator:
    return PixelsGenerator(PixelsOptions.model_validate({"optimizer": OptimizerOptions(lr=0.1)} | options), setting)


def classes_of(generator: PixelsGenerator, seen: Seen, rounds: int) -> list[int]:
    for _ in range(rounds):
        generator.fit(seen, 1)
    return torch.cat(seen.labels).tolist()


def test_fit__is_adam_on_the_pixels_of_one_batch(make_setting: MakeSetting) -> None:
    seen = Seen(value=1.0)
    generator = pixels(make_setting(**NORMALISED))
    generator.fit(seen, 4)
    x = seen.images[0].double()
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(1, 5):
        torch.testing.assert_close(seen.images[step - 1].double(), x, rtol=1e-4, atol=1e-5)
        gradient = 2 * (x - 1) / x.numel()
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        x = x - 0.1 * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
    kept = generator.state_dict()["pool"]["images"]
    torch.testing.assert_close(kept.double(), x, rtol=1e-4, atol=1e-5)


def test_fit__of_no_steps_makes_nothing(make_setting: MakeSetting) -> None:
    generator = pixels(make_setting())
    generator.fit(Seen(), 0)
    assert len(generator.state_dict()["pool"]["images"]) == 0


def test_fit__every_batch_has_a_fresh_optimizer_and_a_whole_schedule(make_setting: MakeSetting) -> None:
    generator = pixels(
        make_setting(**NORMALISED), optimizer=OptimizerOptions(kind="sgd", momentum=0, lr=1, schedule="cosine")
    )
    moved = []
    for _ in range(2):
        seen = Seen()
        generator.fit(seen, 3)
        moved.append([(b / a).mean().item() for a, b in zip(seen.images, seen.images[1:], strict=False)])
    assert moved[0] == pytest.approx(moved[1], abs=1e-5)
    assert moved[0][0] < moved[0][1] < 1


def test_sample__is_drawn_from_every_batch_so_far_with_its_labels(make_setting: MakeSetting) -> None:
    generator = pixels(make_setting(**NORMALISED))
    for _ in range(3):
        generator.fit(Seen(), 1)
    state = generator.state_dict()["pool"]
    batch = generator.sample(300)
    assert batch.labels is not None
    index = (batch.images.flatten(1)[:, None] - state["images"].flatten(1)).abs().sum(2).argmin(1)
    assert set(index.tolist()) == set(range(15))
    assert torch.equal(batch.labels, state["labels"][index])


def test_sample__before_the_first_fit_gives_images_before_their_first_step(make_setting: MakeSetting) -> None:
    images, labels = pixels(make_setting(classes=3)).sample(4000)
    assert abs(images.mean()) < 0.01
    assert abs(images.std() - 1) < 0.01
    assert labels is not None
    assert labels[:4].tolist() == [0, 1, 2, 0]


def test_capacity__bounds_the_pool(make_setting: MakeSetting) -> None:
    generator = pixels(make_setting(**NORMALISED), capacity=8)
    sizes = []
    for _ in range(3):
        generator.fit(Seen(), 1)
        sizes.append(len(generator.state_dict()["pool"]["images"]))
    assert sizes == [5, 8, 8]


@pytest.mark.parametrize("capacity", [0, -1])
def test_capacity__of_nothing_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity"):
        PixelsOptions(capacity=capacity)


def test_labels__go_on_where_the_last_batch_ended(make_setting: MakeSetting) -> None:
    labels = classes_of(pixels(make_setting(classes=10), batch_size=4), Seen(), 3)
    assert labels == [*range(10), 0, 1]


@pytest.mark.parametrize("classes", [2, 1000])
def test_labels__at_random_cover_few_and_many_classes(make_setting: MakeSetting, classes: int) -> None:
    labels = classes_of(pixels(make_setting(classes=classes), batch_size=64, labels="random"), Seen(), 3)
    assert len(labels) == 192
    assert set(labels) <= set(range(classes))
    assert len(set(labels)) >= min(classes, 100)


def test_jitter__is_one_roll_of_the_whole_batch(make_setting: MakeSetting) -> None:
    seen = Seen()
    pixels(make_setting(**NORMALISED), jitter=1, optimizer=OptimizerOptions(lr=1e-12)).fit(seen, 60)
    start = seen.images[0]
    rolls = {(i, j): start.roll((i, j), (2, 3)) for i in range(-2, 3) for j in range(-2, 3)}
    offsets = [next(key for key, rolled in rolls.items() if torch.allclose(rolled, seen_)) for seen_ in seen.images]
    assert len(set(offsets)) == 9
    assert all(seen_.norm() == pytest.approx(start.norm().item(), rel=1e-5) for seen_ in seen.images)


def test_flip__mirrors_the_whole_batch_in_half_of_the_steps(make_setting: MakeSetting) -> None:
    seen = Seen()
    pixels(make_setting(**NORMALISED), flip=True, optimizer=OptimizerOptions(lr=1e-12)).fit(seen, 60)
    start = seen.images[0]
    mirrored = [torch.allclose(images, start.flip(3)) for images in seen.images]
    assert all(m or torch.allclose(images, start) for m, images in zip(mirrored, seen.images, strict=True))
    assert 15 < sum(mirrored) < 45


@pytest.mark.parametrize("space", ["input", "unit"])
@pytest.mark.parametrize("bounds", ["clip", "rescale"])
def test_bounds__keep_pixels_valid_after_every_step(make_setting: MakeSetting, space: str, bounds: str) -> None:
    generator = pixels(make_setting(**NORMALISED), space=space, bounds=bounds, optimizer=OptimizerOptions(lr=2.0))
    seen = Seen(value=100.0)
    generator.fit(seen, 3)
    for images in [*seen.images[1:], generator.state_dict()["pool"]["images"]]:
        unit = images * torch.tensor([0.25, 0.5]).view(2, 1, 1) + torch.tensor([0.5, 0.2]).view(2, 1, 1)
        assert unit.min() >= -1e-5
        assert unit.max() <= 1 + 1e-5
        if bounds == "rescale":
            assert unit.min().item() == pytest.approx(0, abs=1e-5)
            assert unit.max().item() == pytest.approx(1, abs=1e-5)


def test_bounds__none_lets_pixels_go(make_setting: MakeSetting) -> None:
    generator = pixels(make_setting(**NORMALISED), optimizer=OptimizerOptions(lr=2.0))
    generator.fit(Seen(value=100.0), 5)
    assert generator.state_dict()["pool"]["images"].max() > 5


@pytest.mark.parametrize("space", ["input", "unit"])
def test_start__uniform_covers_the_valid_pixels(make_setting: MakeSetting, space: str) -> None:
    images = pixels(make_setting(**NORMALISED), start="uniform", space=space).sample(500).images
    torch.testing.assert_close(images.amin((0, 2, 3)), LOW, atol=0.01, rtol=0)
    torch.testing.assert_close(images.amax((0, 2, 3)), HIGH, atol=0.01, rtol=0)


def test_unit_space__the_learning_rate_is_in_units_of_pixels(make_setting: MakeSetting) -> None:
    seen = Seen(value=100.0)
    pixels(make_setting(**NORMALISED), space="unit", optimizer=OptimizerOptions(lr=0.1)).fit(seen, 2)
    moved = (seen.images[1] - seen.images[0]).mean((0, 2, 3))
    torch.testing.assert_close(moved, torch.tensor([0.1 / 0.25, 0.1 / 0.5]), rtol=1e-3, atol=0)


def test_augment__crops_what_the_student_sees_and_not_the_pool(make_setting: MakeSetting) -> None:
    generator = pixels(make_setting(), augmentation="crop_flip", start="uniform")
    generator.fit(Seen(), 1)
    kept = generator.state_dict()["pool"]["images"].clone()
    drawn = generator.sample(64).images
    alike = [any(torch.equal(image, other) for other in kept) for image in drawn]
    assert sum(alike) < 20
    assert torch.equal(generator.state_dict()["pool"]["images"], kept)


def test_augmentation__a_crop_brings_in_black(make_setting: MakeSetting) -> None:
    setting = make_setting(**NORMALISED | {"image_shape": (2, 8, 8)})
    generator = pixels(setting, augmentation="crop")
    generator.fit(Seen(), 1)
    generator.state_dict()["pool"]["images"].fill_(9.0)
    drawn = generator.sample(200).images
    black = -torch.tensor(setting.pixel_mean) / torch.tensor(setting.pixel_std)
    for channel, value in enumerate(black):
        torch.testing.assert_close(drawn[:, channel].unique(), torch.stack([value, torch.tensor(9.0)]))


def test_enlarge__optimises_coarse_images_and_shows_their_bilinear_enlargement(make_setting: MakeSetting) -> None:
    seen = Seen(value=1.0)
    generator = pixels(make_setting(**NORMALISED), enlarge=2, optimizer=OptimizerOptions(kind="sgd", lr=10, momentum=0))
    generator.fit(seen, 2)
    shown = [*seen.images, generator.state_dict()["pool"]["images"]]
    basis = torch.stack([_enlarged(one.view(1, 1, 3, 2)).flatten() for one in torch.eye(6, dtype=torch.float64)])
    coarse = []
    for images in shown:
        assert images.shape == (5, 2, 6, 4)
        fit = torch.linalg.lstsq(basis.T, images.double().view(10, 24).T).solution
        torch.testing.assert_close((basis.T @ fit).T.view(5, 2, 6, 4), images.double(), rtol=1e-5, atol=1e-5)
        coarse.append(fit.T.view(5, 2, 3, 2))
    variable = coarse[0].clone().requires_grad_()
    (_enlarged(variable) - 1).square().mean().backward()
    assert variable.grad is not None
    torch.testing.assert_close(coarse[1], coarse[0] - 10 * variable.grad, rtol=1e-4, atol=1e-4)


def _enlarged(images: Tensor) -> Tensor:
    return F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


def test_enlarge__keeps_pixels_valid_and_shows_the_same_images_before_the_first_step(make_setting: MakeSetting) -> None:
    generator = pixels(make_setting(**NORMALISED), enlarge=2, bounds="clip", optimizer=OptimizerOptions(lr=2.0))
    assert generator.sample(3).images.shape == (3, 2, 6, 4)
    generator.fit(Seen(value=100.0), 5)
    torch.testing.assert_close(generator.sample(9).images.amax((0, 2, 3)), HIGH)


def test_enlarge__of_sides_that_it_does_not_divide_is_refused(make_setting: MakeSetting) -> None:
    with pytest.raises(PlanError, match=r"6x4 pixels.*not divisible by 4.*generator\.enlarge"):
        pixels(make_setting(**NORMALISED), enlarge=4)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batch__of_one_or_odd(make_setting: MakeSetting, batch_size: int) -> None:
    generator = pixels(make_setting(batch_size=batch_size), jitter=2, flip=True)
    generator.fit(Seen(), 2)
    assert generator.sample(2).images.shape == (2, 1, 16, 16)


def test_pixels__resume_bitwise(make_setting: MakeSetting) -> None:
    options = {"jitter": 2, "flip": True, "augmentation": "crop_flip", "labels": "random"}
    generator, resumed = (pixels(make_setting(seed), **options) for seed in (0, 1))
    generator.fit(Seen(), 2)
    generator.sample(3)
    resumed.load_state_dict(copy.deepcopy(generator.state_dict()))
    for one in (generator, resumed):
        one.fit(Seen(), 2)
    for mine, other in zip(generator.sample(50), resumed.sample(50), strict=True):
        assert torch.equal(mine, other)


def test_fit__reads_nothing_on_the_host(make_setting: MakeSetting, host_reads_forbidden: TorchDispatchMode) -> None:
    generator = pixels(make_setting(), jitter=2, flip=True, bounds="rescale", labels="random", augmentation="crop_flip")
    with host_reads_forbidden:
        generator.fit(Seen(), 2)
        generator.sample(4)

"""The recipe: schedules, crops, optimisers, determinism, resuming."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dfkdbench.datasets.images import TensorImages
from dfkdbench.descriptors import DatasetSpec, ModelSpec, TeacherRecipe
from dfkdbench.errors import IntegrityError, RunError
from dfkdbench.models.build import build_network
from dfkdbench.teachers import network_training
from dfkdbench.teachers.network_training import Precision, epoch_seed, learning_rate, random_crop, train_network
from dfkdbench.teachers.progress import Progress

MULTISTEP = TeacherRecipe(epochs=10, lr=0.1, schedule="multistep", milestones=(0.4, 0.6), gamma=0.1)


def test_learning_rate__schedules() -> None:
    multistep = [learning_rate(MULTISTEP, step, 10) for step in (0, 3, 4, 5, 6, 9)]
    assert multistep == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    cosine = replace(MULTISTEP, schedule="cosine")
    expected = [0.05 * (1 + math.cos(math.pi * step / 10)) for step in range(10)]
    assert [learning_rate(cosine, step, 10) for step in range(10)] == pytest.approx(expected)
    assert learning_rate(replace(MULTISTEP, schedule="constant"), 9, 10) == 0.1


def every_crop(image: Tensor, pad: int, flip: bool) -> dict[bytes, tuple[int, int, bool]]:
    """Every crop an image (C, S, S) can become, by its bytes."""
    channels, size, _ = image.shape
    padded = torch.zeros(channels, size + 2 * pad, size + 2 * pad, dtype=torch.uint8)
    padded[:, pad : pad + size, pad : pad + size] = image
    crops: dict[bytes, tuple[int, int, bool]] = {}
    for top in range(2 * pad + 1):
        for left in range(2 * pad + 1):
            crop = padded[:, top : top + size, left : left + size]
            crops[crop.contiguous().numpy().tobytes()] = (top, left, False)
            if flip:
                crops[crop.flip(2).contiguous().numpy().tobytes()] = (top, left, True)
    return crops


@pytest.mark.parametrize("flip", [False, True])
def test_random_crop__is_one_of_all_crops_and_reaches_each(flip: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(1, 255, (3, 16, 16), generator=generator).to(torch.uint8)
    allowed = every_crop(image, 2, flip)
    assert len(allowed) == (50 if flip else 25)
    cropped = random_crop(image.expand(2000, 3, 16, 16), flip, generator)
    assert cropped.dtype == torch.uint8
    assert cropped.shape == (2000, 3, 16, 16)
    seen = [allowed[crop.contiguous().numpy().tobytes()] for crop in cropped]
    assert len(set(seen)) == len(allowed)
    mirrored = sum(was_flipped for _, _, was_flipped in seen) / len(seen)
    assert 0.45 < mirrored < 0.55 if flip else mirrored == 0


def test_random_crop__border_comes_in_from_outside():
    images = torch.full((500, 2, 8, 8), 5.0)
    border = torch.tensor([-1.0, -2.0]).view(1, 2, 1, 1)
    cropped = random_crop(images, True, torch.Generator().manual_seed(0), border)
    assert cropped[:, 0].unique().tolist() == [-1, 5]
    assert cropped[:, 1].unique().tolist() == [-2, 5]


def test_random_crop__keeps_images_apart() -> None:
    images = torch.arange(1, 6, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 2, 8, 8)
    cropped = random_crop(images, True, torch.Generator().manual_seed(1))
    assert [int(image.max()) for image in cropped] == [1, 2, 3, 4, 5]


def trained(
    models: dict[str, ModelSpec],
    train: TensorImages,
    recipe: TeacherRecipe,
    seed: int = 0,
    arch: str = "resnet_xs",
    precision: Precision = "fp32",
    checkpoint: Path | None = None,
) -> dict[str, Tensor]:
    network = build_network(models[arch], 1, 10, 16, seed)
    train_network(network, train, recipe, (0.44,), (0.26,), seed, precision=precision, checkpoint=checkpoint)
    return network.state_dict()


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, second[key]) for key, value in first.items())


def test_train_network__depends_on_the_seed_alone(
    models: dict[str, ModelSpec], dataset: DatasetSpec, train_images: TensorImages
) -> None:
    torch.manual_seed(1)
    first = trained(models, train_images, dataset.teacher)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = trained(models, train_images, dataset.teacher)
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(first, second)
    assert not equal(first, trained(models, train_images, dataset.teacher, seed=1))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_train_network__equals_a_plain_loop(
    models: dict[str, ModelSpec], train_images: TensorImages, optimizer: str
) -> None:
    recipe = TeacherRecipe(
        epochs=2, batch_size=96, optimizer="sgd", lr=0.02, schedule="cosine", weight_decay=0.01, augment=False
    )
    if optimizer == "adam":
        recipe = replace(recipe, optimizer="adam")
    found = trained(models, train_images, recipe, seed=3, arch="lenet_xs")
    network = build_network(models["lenet_xs"], 1, 10, 16, seed=3).double()
    parameters = list(network.parameters())
    first = [torch.zeros_like(parameter) for parameter in parameters]
    second = [torch.zeros_like(parameter) for parameter in parameters]
    step = 0
    for epoch in range(2):
        order = torch.randperm(320, generator=torch.Generator().manual_seed(epoch_seed(3, epoch)))
        for start in (0, 96, 192):
            index = order[start : start + 96]
            images = (train_images.images[index].double() / 255 - 0.44) / 0.26
            network.zero_grad()
            F.cross_entropy(network(images), train_images.labels[index]).backward()  # type: ignore[no-untyped-call]
            lr = 0.01 * (1 + math.cos(math.pi * step / 6))
            step += 1
            for parameter, mean, square in zip(parameters, first, second, strict=True):
                assert parameter.grad is not None
                gradient = parameter.grad + 0.01 * parameter.data
                if optimizer == "sgd":
                    mean.mul_(0.9).add_(gradient)
                    parameter.data -= lr * mean
                else:
                    mean.mul_(0.9).add_(0.1 * gradient)
                    square.mul_(0.999).add_(0.001 * gradient**2)
                    scale = (square / (1 - 0.999**step)).sqrt() + 1e-8
                    parameter.data -= lr * mean / (1 - 0.9**step) / scale
    for key, value in network.state_dict().items():
        torch.testing.assert_close(found[key].double(), value, rtol=2e-3, atol=2e-4)


def test_train_network__bf16_is_close_but_not_equal(
    models: dict[str, ModelSpec], dataset: DatasetSpec, train_images: TensorImages
) -> None:
    recipe = replace(dataset.teacher, epochs=1)
    exact = trained(models, train_images, recipe)
    rounded = trained(models, train_images, recipe, precision="bf16")
    assert not equal(exact, rounded)
    assert all(value.dtype == rounded[key].dtype for key, value in exact.items())


def test_train_network__reports_epochs_and_the_loss_falls(
    models: dict[str, ModelSpec], dataset: DatasetSpec, train_images: TensorImages
) -> None:
    network = build_network(models["resnet_xs"], 1, 10, 16)
    reports: list[tuple[int, int, float]] = []
    train_network(
        network,
        train_images,
        dataset.teacher,
        (0.44,),
        (0.26,),
        seed=0,
        on_epoch=lambda epoch, epochs, loss: reports.append((epoch, epochs, loss)),
    )
    assert [report[:2] for report in reports] == [(1, 3), (2, 3), (3, 3)]
    assert reports[2][2] < reports[0][2]
    assert not network.training


class InterruptionError(Exception):
    """Stands for a killed process."""


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_train_network__resumes_bitwise(
    models: dict[str, ModelSpec],
    dataset: DatasetSpec,
    train_images: TensorImages,
    tmp_path: Path,
    optimizer: str,
) -> None:
    recipe = replace(dataset.teacher, lr=0.01)
    if optimizer == "sgd":
        recipe = replace(recipe, optimizer="sgd")
    straight = trained(models, train_images, recipe)
    checkpoint = tmp_path / "progress.safetensors"

    def interrupt(epoch: int, epochs: int, loss: float) -> None:
        if epoch == 2:
            raise InterruptionError

    network = build_network(models["resnet_xs"], 1, 10, 16)
    with pytest.raises(InterruptionError):
        train_network(network, train_images, recipe, (0.44,), (0.26,), 0, on_epoch=interrupt, checkpoint=checkpoint)
    assert equal(straight, trained(models, train_images, recipe, checkpoint=checkpoint))


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_train_network__goes_on_inside_an_epoch_to_the_same_weights(
    models: dict[str, ModelSpec],
    train_images: TensorImages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    recipe = TeacherRecipe(epochs=2, batch_size=len(train_images) // 10, lr=0.01, augment=True, flip=True)
    straight = trained(models, train_images, recipe)
    checkpoint = tmp_path / "progress.safetensors"
    monkeypatch.setattr(Progress, "SECONDS", seconds)
    steps: list[int] = []

    def interrupt(_: TeacherRecipe, step: int, steps_in_all: int) -> float:
        steps.append(step)
        if steps == list(range(15)):
            raise InterruptionError
        return learning_rate(recipe, step, steps_in_all)

    monkeypatch.setattr(network_training, "learning_rate", interrupt)
    with pytest.raises(InterruptionError):
        trained(models, train_images, recipe, checkpoint=checkpoint)
    assert equal(straight, trained(models, train_images, recipe, checkpoint=checkpoint))
    assert steps[15] == (14 if seconds == 0 else 10)


def test_train_network__refuses_a_damaged_checkpoint(
    models: dict[str, ModelSpec], dataset: DatasetSpec, train_images: TensorImages, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "progress.safetensors"
    checkpoint.write_bytes(b"nothing")
    with pytest.raises(IntegrityError, match=r"progress.safetensors can't be used .* Remove it to start over"):
        trained(models, train_images, dataset.teacher, checkpoint=checkpoint)


def test_train_network__diverging_is_an_error(models: dict[str, ModelSpec], train_images: TensorImages) -> None:
    recipe = TeacherRecipe(epochs=2, batch_size=32, lr=1e6, schedule="constant", augment=False)
    with pytest.raises(RunError, match=r"Training diverged: the loss of epoch 1 of 2 is (nan|inf)"):
        trained(models, train_images, recipe, arch="lenet_xs")

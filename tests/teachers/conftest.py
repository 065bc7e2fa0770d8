from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dfkdbench.datasets.images import TensorImages
from dfkdbench.datasets.specs import DATASETS
from dfkdbench.descriptors import DatasetSpec, ModelSpec, TeacherRecipe
from dfkdbench.models.specs import MODELS
from dfkdbench.teachers.card import TeacherBundle
from dfkdbench.teachers.training import train_teacher

SHORT = TeacherRecipe(
    epochs=3, batch_size=32, optimizer="adam", lr=3e-3, weight_decay=0.0, schedule="cosine", augment=True, flip=True
)


def squares(count: int, seed: int) -> TensorImages:
    """Ten classes by brightness, with noise: learnt within a few steps."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 10
    images = torch.randint(0, 20, (count, 1, 16, 16), generator=generator) + 23 * labels.view(-1, 1, 1, 1)
    return TensorImages(images.to(torch.uint8), labels, classes=10, name="squares")


@pytest.fixture(scope="session")
def train_images() -> TensorImages:
    return squares(320, seed=0)


@pytest.fixture(scope="session")
def test_images() -> TensorImages:
    return squares(100, seed=1)


@pytest.fixture(scope="session")
def digits() -> DatasetSpec:
    return next(spec for spec in DATASETS if spec.name == "digits")


@pytest.fixture(scope="session")
def dataset(digits: DatasetSpec) -> DatasetSpec:
    return replace(
        digits, name="squares", mean=(0.44,), std=(0.26,), teacher=SHORT, teacher_smoke=replace(SHORT, epochs=1)
    )


@pytest.fixture(scope="session")
def models() -> dict[str, ModelSpec]:
    return {spec.name: spec for spec in MODELS}


@pytest.fixture
def bundle(
    dataset: DatasetSpec,
    models: dict[str, ModelSpec],
    train_images: TensorImages,
    test_images: TensorImages,
    tmp_path: Path,
) -> TeacherBundle:
    return train_teacher(
        dataset, models["resnet_xs"], 4, train_images, test_images, tmp_path / "teachers", kind="smoke"
    )

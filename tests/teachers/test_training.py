"""Training a teacher from a data set's description, and the teachers that are shipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from dfkdbench.datasets.digits import load_digits
from dfkdbench.datasets.images import TensorImages
from dfkdbench.descriptors import DatasetSpec, ModelSpec
from dfkdbench.errors import ConfigError
from dfkdbench.evaluate import evaluate
from dfkdbench.models.build import build_network
from dfkdbench.teachers.bundle import load_teacher
from dfkdbench.teachers.card import TeacherBundle
from dfkdbench.teachers.store import TeacherStore, shipped_folder
from dfkdbench.teachers.training import train_teacher

SHIPPED = TeacherStore((shipped_folder(),)).all()
DIGITS = [bundle for bundle in SHIPPED if bundle.card.dataset == "digits"]


def test_train_teacher__card(bundle: TeacherBundle, dataset: DatasetSpec, test_images: TensorImages) -> None:
    card = bundle.card
    assert (card.name, card.dataset, card.arch, card.seed, card.kind) == (
        "squares-resnet_xs-s4-smoke",
        "squares",
        "resnet_xs",
        4,
        "smoke",
    )
    assert (card.classes, card.channels, card.image_size, card.mean, card.std) == (10, 1, 16, (0.44,), (0.26,))
    assert card.test_fingerprint == test_images.fingerprint()
    assert card.recipe is not None
    assert card.recipe.epochs == 1
    assert card.torch == torch.__version__


def test_train_teacher__accuracy_is_that_of_the_stored_weights(
    dataset: DatasetSpec,
    models: dict[str, ModelSpec],
    train_images: TensorImages,
    test_images: TensorImages,
    tmp_path: Path,
) -> None:
    longer = replace(dataset, teacher=replace(dataset.teacher, epochs=8))
    bundle = train_teacher(longer, models["resnet_xs"], 0, train_images, test_images, tmp_path)
    found = evaluate(load_teacher(bundle, models["resnet_xs"]), test_images, (0.44,), (0.26,), "cpu")
    assert bundle.card.accuracy == found.accuracy
    assert found.accuracy > 30


def test_train_teacher__refuses_before_training_and_resumes(
    bundle: TeacherBundle,
    dataset: DatasetSpec,
    models: dict[str, ModelSpec],
    train_images: TensorImages,
    test_images: TensorImages,
    tmp_path: Path,
) -> None:
    epochs: list[int] = []

    def stop_after_two(epoch: int, total: int, loss: float) -> None:
        epochs.append(epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt

    def run(home: Path, watched: Callable[[int, int, float], None]) -> TeacherBundle:
        return train_teacher(dataset, models["resnet_xs"], 4, train_images, test_images, home, on_epoch=watched)

    home = bundle.folder.parent
    with pytest.raises(KeyboardInterrupt):
        run(home, stop_after_two)
    resumed = run(home, stop_after_two)
    assert epochs == [1, 2, 3]
    assert sorted(path.name for path in home.iterdir()) == ["squares-resnet_xs-s4", "squares-resnet_xs-s4-smoke"]
    assert resumed.sha256 == run(tmp_path / "other", lambda *_: None).sha256
    with pytest.raises(ConfigError, match="There is a teacher 'squares-resnet_xs-s4' in"):
        run(home, stop_after_two)
    assert epochs == [1, 2, 3]


def test_build_network__depends_on_its_seed_alone(models: dict[str, ModelSpec]) -> None:
    before = torch.get_rng_state()
    first, same, other = (build_network(models["lenet_xs"], 1, 10, 16, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.state_dict()["conv1.weight"], same.state_dict()["conv1.weight"])
    assert not torch.equal(first.state_dict()["conv1.weight"], other.state_dict()["conv1.weight"])


def test_shipped__are_the_promised_ones_and_small() -> None:
    names = {f"digits-{arch}-s{seed}" for arch in ("lenet_s", "resnet_s") for seed in range(3)}
    assert {bundle.name for bundle in SHIPPED} == names | {"mnist-lenet5-s0"}
    assert sum(bundle.weights.stat().st_size for bundle in SHIPPED) < 2_000_000
    assert all(bundle.card.kind == "standard" for bundle in SHIPPED)


@pytest.mark.parametrize("teacher", SHIPPED, ids=lambda bundle: bundle.name)
def test_shipped__load_as_pinned(teacher: TeacherBundle, models: dict[str, ModelSpec]) -> None:
    load_teacher(teacher, models[teacher.card.arch])
    assert teacher.card.accuracy > 97.5  # without crops the LeNet teachers reach 97.8 to 99.0


@pytest.mark.parametrize("teacher", DIGITS, ids=lambda bundle: bundle.name)
def test_shipped__accuracy_is_that_of_the_card(
    teacher: TeacherBundle, digits: DatasetSpec, models: dict[str, ModelSpec]
) -> None:
    card = teacher.card
    assert (card.mean, card.std) == (digits.mean, digits.std)
    test = load_digits(None, train=False)
    assert test.fingerprint() == card.test_fingerprint
    found = evaluate(load_teacher(teacher, models[card.arch]), test, card.mean, card.std, "cpu")
    assert found.accuracy == pytest.approx(card.accuracy, abs=0.2)


def test_shipped__were_trained_by_todays_recipe() -> None:
    specs = {spec.name: spec for spec in import_module("dfkdbench.datasets.specs").DATASETS}
    for teacher in SHIPPED:
        recipe = teacher.card.recipe
        assert recipe is not None
        described = recipe.model_dump(exclude={"precision"})
        assert described == {key: getattr(specs[teacher.card.dataset].teacher, key) for key in described}


def test_shipped__retraining_lands_within_a_point(
    digits: DatasetSpec, models: dict[str, ModelSpec], tmp_path: Path
) -> None:
    shipped = next(bundle for bundle in DIGITS if bundle.name == "digits-lenet_s-s0")
    train, test = load_digits(None, train=True), load_digits(None, train=False)
    again = train_teacher(digits, models["lenet_s"], 0, train, test, tmp_path)
    assert again.card.accuracy == pytest.approx(shipped.card.accuracy, abs=1.0)

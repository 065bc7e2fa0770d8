from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from dfkdbench.datasets.digits import load_digits
from dfkdbench.datasets.specs import DATASETS, PAPER_SAMPLES
from dfkdbench.descriptors import DatasetSpec

GREY = ["mnist", "fashion_mnist", "kmnist", "usps"]
COLOUR = ["svhn", "cifar10", "cifar100"]
FOLDERS = ["caltech101", "mini_imagenet", "tiny_imagenet", "tiny_imagenet_20", "imagenet"]

every_spec = pytest.mark.parametrize("spec", DATASETS, ids=lambda spec: spec.name)


def test_specs__are_the_promised_ones() -> None:
    assert sorted(spec.name for spec in DATASETS) == sorted(["digits", *GREY, *COLOUR, *FOLDERS])
    assert DATASETS[0].name == "digits"


def test_specs__import_nothing_heavy() -> None:
    program = (
        "import sys, dfkdbench.datasets.specs\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'numpy', 'scipy', 'PIL'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@every_spec
def test_specs__target_takes_root_train_download(spec: DatasetSpec) -> None:
    module, _, attribute = spec.target.partition(":")
    loader = getattr(importlib.import_module(module), attribute)
    assert list(inspect.signature(loader).parameters) == ["root", "train", "download"]
    assert inspect.signature(loader).parameters["download"].default is False


@every_spec
def test_specs__shape_constants_and_pairs_fit(spec: DatasetSpec) -> None:
    assert len(spec.mean) == len(spec.std) == spec.channels
    assert all(0 < value < 1 for value in (*spec.mean, *spec.std))
    assert spec.pairs
    assert all(pair.count(":") == 1 for pair in spec.pairs)
    assert len(set(spec.pairs)) == len(spec.pairs)
    assert spec.needs_root == (spec.name != "digits") == bool(spec.files)


@every_spec
def test_specs__budgets_grow_by_tier_and_paper_leaves_it_to_the_preset(spec: DatasetSpec) -> None:
    assert list(spec.budgets) == ["smoke", "quick", "standard", "paper"]
    assert spec.default_budget in spec.budgets
    tiers = [spec.budgets[name] for name in ("smoke", "quick", "standard")]
    samples = [tier.student_samples for tier in tiers]
    assert samples == sorted(set(samples))
    assert all(tier.teacher_queries == 6 * tier.student_samples for tier in tiers)
    assert [tier.evaluations for tier in tiers] == [2, 10, 10]
    assert spec.budgets["paper"].student_samples == PAPER_SAMPLES == 0


@every_spec
def test_specs__smoke_teacher_is_the_recipe_cut_short(spec: DatasetSpec) -> None:
    assert spec.teacher_smoke.epochs <= 2 < spec.teacher.epochs
    assert (spec.teacher_smoke.optimizer, spec.teacher_smoke.lr) == (spec.teacher.optimizer, spec.teacher.lr)
    assert spec.teacher_smoke.flip == spec.teacher.flip


def test_specs__digits_are_never_mirrored() -> None:
    with_digits = {"digits", "mnist", "kmnist", "usps", "svhn"}
    assert not any(spec.teacher.flip and spec.teacher.augment for spec in DATASETS if spec.name in with_digits)


def test_specs__digits_loader_fits_its_spec() -> None:
    spec = next(spec for spec in DATASETS if spec.name == "digits")
    images = load_digits(Path(), train=False)
    assert images.shape == (spec.channels, spec.image_size, spec.image_size)
    assert images.classes == spec.classes

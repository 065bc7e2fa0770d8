"""New teachers, trained by the open recipe of their data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

import dfkdbench
from dfkdbench.datasets.images import ImageSet, make_resident
from dfkdbench.descriptors import DatasetSpec, ModelSpec
from dfkdbench.evaluate import evaluate
from dfkdbench.models.build import build_network
from dfkdbench.teachers.bundle import refuse_existing, save_bundle
from dfkdbench.teachers.card import SCHEMA, TeacherBundle, TrainingRecipe, teacher_name
from dfkdbench.teachers.network_training import OnEpoch, Precision, train_network

TrainedKind = Literal["standard", "smoke"]


def train_teacher(
    dataset: DatasetSpec,
    arch: ModelSpec,
    seed: int,
    train: ImageSet,
    test: ImageSet,
    home: Path,
    *,
    kind: TrainedKind = "standard",
    device: torch.device | str = "cpu",
    precision: Precision = "fp32",
    on_epoch: OnEpoch | None = None,
    overwrite: bool = False,
) -> TeacherBundle:
    """Trains a teacher, evaluates its last epoch and writes it to `home`.

    Interrupted training goes on after the last complete epoch when called again with the same arguments.

    Args:
        kind: Which of the data set's two recipes.

    Raises:
        ConfigError: There is such a teacher in `home` already, or the architecture can't take the images.
        RunError: Training diverged.
    """
    name = teacher_name(dataset.name, arch.name, seed, kind)
    refuse_existing(home, name, overwrite)
    recipe = dataset.teacher if kind == "standard" else dataset.teacher_smoke
    described = TrainingRecipe(**asdict(recipe), precision=precision)
    network = build_network(arch, dataset.channels, dataset.classes, dataset.image_size, seed)
    identity = f"{name} {described.model_dump_json()} {arch.version} {dataset.version} {len(train)} {train.shape}"
    identity += f" {dataset.mean} {dataset.std} {torch.device(device).type}"
    checkpoint = home / f".training-{name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.safetensors"
    train_network(
        network,
        train,
        recipe,
        dataset.mean,
        dataset.std,
        seed,
        device,
        precision=precision,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
    )
    facts = describe(network, dataset, arch, test, dataset.mean, dataset.std, device)
    facts |= {"name": name, "seed": seed, "kind": kind, "recipe": described}
    bundle = save_bundle(home, network, facts, overwrite)
    checkpoint.unlink(missing_ok=True)
    return bundle


def describe(
    network: nn.Module,
    dataset: DatasetSpec,
    arch: ModelSpec,
    test: ImageSet,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str,
) -> dict[str, Any]:
    """The fields of a card that don't depend on how the weights came about; evaluates the network."""
    accuracy = evaluate(network.to(device), make_resident(test, device), mean, std, device).accuracy
    return {
        "schema": SCHEMA,
        "dataset": dataset.name,
        "dataset_version": dataset.version,
        "arch": arch.name,
        "arch_version": arch.version,
        "classes": dataset.classes,
        "channels": dataset.channels,
        "image_size": dataset.image_size,
        "mean": tuple(mean),
        "std": tuple(std),
        "accuracy": accuracy,
        "test_fingerprint": test.fingerprint(),
        "protocol": dfkdbench.PROTOCOL,
        "torch": torch.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }

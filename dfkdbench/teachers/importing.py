"""Teachers that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dfkdbench.datasets.images import ImageSet
from dfkdbench.descriptors import DatasetSpec, ModelSpec
from dfkdbench.errors import ConfigError
from dfkdbench.models.build import build_network
from dfkdbench.teachers.bundle import refuse_existing, save_bundle
from dfkdbench.teachers.card import TeacherBundle, hash_file
from dfkdbench.teachers.checkpoints import Tell, check_fit, fit_names, read_checkpoint
from dfkdbench.teachers.training import describe
from dfkdbench.weights import load_weights


def import_teacher(
    dataset: DatasetSpec,
    arch: ModelSpec,
    checkpoint: Path,
    test: ImageSet,
    home: Path,
    *,
    name: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    rename: Sequence[tuple[str, str]] = (),
    allow_pickle: bool = False,
    device: torch.device | str = "cpu",
    overwrite: bool = False,
    tell: Tell = lambda line: None,
) -> TeacherBundle:
    """Checks a state dict against the architecture, evaluates it and writes it to `home`.

    Args:
        name: Name of the bundle, or None for `<dataset>-<arch>-imported-<hash>`.
        mean: Input normalisation it was trained with, per channel, where not the data set's; likewise `std`.
        rename: Pairs of a regular expression and its replacement, applied in order to the names of the tensors.
        allow_pickle: Whether a legacy `.pt` or `.pth` file may be read, with torch's restricted unpickler.
        tell: Takes a line for each thing that was done to the names.

    Raises:
        ConfigError: A pickle without `allow_pickle`, no such file, or a teacher of this name in `home`.
        IntegrityError: A file that is damaged, does not fit the architecture or holds values that are not finite.
    """
    if not checkpoint.is_file():
        raise ConfigError(f"There is no file '{checkpoint}' to import.")
    network = build_network(arch, dataset.channels, dataset.classes, dataset.image_size)
    tensors = fit_names(read_checkpoint(checkpoint, network, allow_pickle, tell), network, rename, tell)
    name = name or f"{dataset.name}-{arch.name}-imported-{hash_file(checkpoint)[:8]}"
    refuse_existing(home, name, overwrite)
    check_fit(tensors, network, arch.name, checkpoint)
    load_weights(network, tensors, f"'{checkpoint}'")
    network.eval()
    facts = describe(network, dataset, arch, test, mean or dataset.mean, std or dataset.std, device)
    facts |= {"name": name, "seed": None, "kind": "imported", "recipe": None}
    return save_bundle(home, network, facts, overwrite)

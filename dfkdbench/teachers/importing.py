"""Teachers that were trained elsewhere."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from dfkdbench.datasets.images import ImageSet
from dfkdbench.descriptors import DatasetSpec, ModelSpec
from dfkdbench.errors import ConfigError, IntegrityError
from dfkdbench.models.build import build_network
from dfkdbench.teachers.bundle import refuse_existing, save_bundle
from dfkdbench.teachers.card import TeacherBundle, hash_file
from dfkdbench.teachers.training import describe
from dfkdbench.weights import load_weights, read_weights

_WRAPPERS = ("state_dict", "model", "net")
_COUNTER = "num_batches_tracked"


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
) -> TeacherBundle:
    """Checks a state dict against the architecture, evaluates it and writes it to `home`.

    Args:
        name: Name of the bundle, or None for `<dataset>-<arch>-imported-<hash>`.
        mean: Input normalisation it was trained with, per channel, where not the data set's; likewise `std`.
        rename: Pairs of a regular expression and its replacement, applied in order to the names of the tensors.
        allow_pickle: Whether a legacy `.pt` or `.pth` file may be read, with torch's restricted unpickler.

    Raises:
        ConfigError: A pickle without `allow_pickle`, no such file, or a teacher of this name in `home`.
        IntegrityError: A file that is damaged or does not fit the architecture.
    """
    if not checkpoint.is_file():
        raise ConfigError(f"There is no file '{checkpoint}' to import.")
    name = name or f"{dataset.name}-{arch.name}-imported-{hash_file(checkpoint)[:8]}"
    refuse_existing(home, name, overwrite)
    network = build_network(arch, dataset.channels, dataset.classes, dataset.image_size)
    tensors = _read_checkpoint(checkpoint, allow_pickle)
    load_weights(network, fit_names(tensors, network, rename), f"'{checkpoint}'")
    network.eval()
    facts = describe(network, dataset, arch, test, mean or dataset.mean, std or dataset.std, device)
    facts |= {"name": name, "seed": None, "kind": "imported", "recipe": None}
    return save_bundle(home, network, facts, overwrite)


def _read_checkpoint(path: Path, allow_pickle: bool) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        return read_weights(path)
    if not allow_pickle:
        raise ConfigError(
            f"'{path}' is no .safetensors file. Convert it with safetensors.torch.save_file(model.state_dict(), path), "
            "or allow a pickle, which is read with torch's restricted unpickler: --allow-pickle"
        )
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise IntegrityError(
            f"'{path}' is damaged or holds more than tensors, such as a whole model. "
            "Load it where it was made and save its state_dict()."
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise IntegrityError(f"'{path}' holds no state dict: expected tensors by name.")
    return {str(key): value for key, value in loaded.items()}


def fit_names(
    tensors: Mapping[str, Tensor], network: nn.Module, rename: Sequence[tuple[str, str]]
) -> dict[str, Tensor]:
    """The tensors under the architecture's names, floats in its precision.

    A leading `module.` of data-parallel training is dropped; batch counters that old checkpoints lack are filled in.

    Raises:
        ConfigError: A pattern that is no regular expression.
    """
    wanted = network.state_dict()
    fitted = {key: value for key, value in wanted.items() if key.endswith(_COUNTER)}
    for key, value in tensors.items():
        for pattern, replacement in (("^module\\.", ""), *rename):
            try:
                key = re.sub(pattern, replacement, key)
            except re.error as error:
                raise ConfigError(f"Can't rename tensors with '{pattern}' -> '{replacement}': {error}.") from error
        fits = key in wanted and value.is_floating_point() and wanted[key].is_floating_point()
        fitted[key] = value.to(wanted[key].dtype) if fits else value
    return fitted

"""Tensors from a checkpoint of anyone's, under the names that an architecture has. The file may be hostile."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from dfkdbench.errors import ConfigError, IntegrityError
from dfkdbench.files import read_no_follow
from dfkdbench.weights import parse_weights, size_limit

Tell = Callable[[str], None]
"""Takes a line about what was done to a checkpoint."""

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "teacher")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
_COUNTER = "num_batches_tracked"
_SHOWN = 5
_ROOM = 8
"""A checkpoint may be as large as this many copies of the weights, for optimiser state and wider numbers."""


def read_checkpoint(path: Path, network: nn.Module, allow_pickle: bool, tell: Tell) -> dict[str, Tensor]:
    """The tensors in a file by name, on the CPU.

    Args:
        network: What they are for; a file far larger than its weights is not read.
        allow_pickle: Whether a legacy `.pt` or `.pth` file may be read, with torch's restricted unpickler.

    Raises:
        ConfigError: A pickle without `allow_pickle`.
        IntegrityError: A file that is too large, damaged, or holds anything else than tensors by name.
    """
    if path.suffix != ".safetensors" and not allow_pickle:
        raise ConfigError(
            f"'{path}' is no .safetensors file. Convert it with safetensors.torch.save_file(model.state_dict(), path), "
            "or allow a pickle, which is read with torch's restricted unpickler: --allow-pickle"
        )
    data = read_no_follow(path.resolve(), limit=_ROOM * size_limit(network))
    if path.suffix == ".safetensors":
        return parse_weights(data, f"'{path}'")
    return _unwrap(path, _unpickle(path, data), tell)


def _unpickle(path: Path, data: bytes) -> object:
    try:
        loaded: object = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # the bytes decide what is raised, and they may be anyone's
        raise IntegrityError(
            f"'{path}' is damaged or holds more than tensors, such as a whole model; nothing in it was run. "
            "Load it where it was made and save its state_dict()."
        ) from error
    return loaded


def _unwrap(path: Path, loaded: object, tell: Tell) -> dict[str, Tensor]:
    """The state dict inside what training scripts save around it."""
    while isinstance(loaded, dict) and (inside := [key for key in WRAPPERS if isinstance(loaded.get(key), dict)]):
        tell(f"took the tensors under '{inside[0]}'")
        loaded = loaded[inside[0]]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise IntegrityError(f"'{path}' holds no state dict: expected tensors by name.")
    return {str(key): value for key, value in loaded.items()}


def fit_names(
    tensors: Mapping[str, Tensor], network: nn.Module, rename: Sequence[tuple[str, str]], tell: Tell
) -> dict[str, Tensor]:
    """The tensors under the architecture's names, floats in its precision.

    Prefixes that wrappers put before every name are dropped; batch counters that old checkpoints lack are filled in.

    Args:
        rename: Pairs of a regular expression and its replacement, applied in order, before prefixes are dropped.

    Raises:
        ConfigError: A pattern that is no regular expression.
    """
    wanted = network.state_dict()
    named = _drop_prefixes(_rename(tensors, rename), wanted.keys(), tell)
    fitted = {key: value for key, value in wanted.items() if key.endswith(_COUNTER)}
    if lacking := len(fitted.keys() - named.keys()):
        tell(f"filled in {lacking} batch counters")
    for key, value in named.items():
        fits = key in wanted and value.is_floating_point() and wanted[key].is_floating_point()
        fitted[key] = value.to(wanted[key].dtype) if fits else value
    return fitted


def _rename(tensors: Mapping[str, Tensor], rename: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in tensors.items():
        for pattern, replacement in rename:
            try:
                key = re.sub(pattern, replacement, key)
            except (re.error, IndexError) as error:
                raise ConfigError(f"Can't rename tensors with '{pattern}' -> '{replacement}': {error}.") from error
        renamed[key] = value
    return renamed


def _drop_prefixes(tensors: dict[str, Tensor], wanted: Collection[str], tell: Tell) -> dict[str, Tensor]:
    while tensors:
        shared = [prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in tensors)]
        if not shared or all(key.startswith(shared[0]) for key in wanted):
            break
        tell(f"dropped '{shared[0]}' before every name")
        tensors = {key.removeprefix(shared[0]): value for key, value in tensors.items()}
    return tensors


def check_fit(tensors: Mapping[str, Tensor], network: nn.Module, arch: str, path: Path) -> None:
    """Refuses tensors that are not the architecture's, with a short list of what differs.

    Raises:
        IntegrityError: Names or shapes that differ, or a value that is not finite.
    """
    wanted = network.state_dict()
    missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    faults = [f"lacks '{name}' {_shape(wanted[name])}{_nearest(name, extra)}" for name in missing]
    if not missing:
        faults = [f"also holds '{name}' {_shape(tensors[name])}" for name in extra]
    for name, expected in wanted.items():
        given = tensors.get(name, expected)
        if given.shape != expected.shape or given.dtype != expected.dtype:
            kinds = f" {given.dtype} instead of {expected.dtype}" if given.dtype != expected.dtype else ""
            faults.append(f"'{name}' is {_shape(given)}, expected {_shape(expected)}{kinds}")
    if faults:
        more = f"\n  and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        hint = " Rename tensors with --rename PATTERN REPLACEMENT." if extra else ""
        listed = "".join(f"\n  {fault}" for fault in faults[:_SHOWN])
        raise IntegrityError(f"The weights in '{path}' don't fit the architecture '{arch}'.{hint}{listed}{more}")
    if broken := sorted(name for name, value in tensors.items() if not bool(torch.isfinite(value).all())):
        named = ", ".join(f"'{name}'" for name in broken[:_SHOWN])
        raise IntegrityError(f"The weights in '{path}' are not all finite: {named}. No teacher can be made of them.")


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


def _nearest(name: str, extra: Sequence[str]) -> str:
    match = difflib.get_close_matches(name, extra, n=1, cutoff=0.5)
    if not match:  # the same last word, such as weight, says more than nothing
        match = [other for other in extra if other.rpartition(".")[2] == name.rpartition(".")[2]][:1]
    return f"; nearest in the file: '{match[0]}'" if match else ""

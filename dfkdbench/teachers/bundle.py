"""Writing and loading weights: safetensors only, checked against hash and shapes, never unpickled."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from dfkdbench.descriptors import ModelSpec
from dfkdbench.errors import ConfigError, IntegrityError
from dfkdbench.models.build import build_network
from dfkdbench.teachers.card import CARD_FILE, WEIGHTS_FILE, TeacherBundle, TeacherCard

_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_BRACE_AT = 8
"""A safetensors file starts with the length of its JSON header in 8 bytes."""


def save_bundle(home: Path, network: nn.Module, facts: Mapping[str, Any], overwrite: bool = False) -> TeacherBundle:
    """Writes `home/<name>/` with weights and card; the folder appears complete or not at all.

    Args:
        facts: Fields of `TeacherCard` except `sha256`.

    Raises:
        ConfigError: There is such a teacher already.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    data = save(state)
    card = TeacherCard.model_validate({**facts, "sha256": hashlib.sha256(data).hexdigest()})
    folder = home / card.name
    refuse_existing(home, card.name, overwrite)
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=home) as temporary:
        made = Path(temporary, card.name)
        made.mkdir()
        _write_durably(made / WEIGHTS_FILE, data)
        _write_durably(made / CARD_FILE, card.model_dump_json(by_alias=True, indent=2).encode() + b"\n")
        _flush_folder(made)
        if folder.exists():
            folder.rename(Path(temporary, "replaced"))
        made.rename(folder)
    _flush_folder(home)
    return TeacherBundle(card, folder)


def refuse_existing(home: Path, name: str, overwrite: bool) -> None:
    """Fails, before any work, where a bundle could not be written.

    Raises:
        ConfigError: There is such a teacher already.
    """
    if (home / name).exists() and not overwrite:
        raise ConfigError(f"There is a teacher '{name}' in {home} already; remove its folder or overwrite it.")


def read_weights(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Args:
        sha256: Hash the file must have, or None for any.

    Raises:
        IntegrityError: No such file, not safetensors, damaged, or another hash.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"There are no weights at {path} ({error.strerror}).") from error
    if data[_BRACE_AT : _BRACE_AT + 1] != b"{":
        what = "a pickle, which could run code when loaded" if data.startswith(_PICKLES) else "no safetensors file"
        raise IntegrityError(f"{path} is {what}; weights are read from safetensors files only.")
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise IntegrityError(f"{path} is damaged or truncated ({len(data)} bytes; {error}).") from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise IntegrityError(f"{path} has sha256 {found[:12]}…, expected {sha256[:12]}…; it is not the pinned file.")
    return tensors


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copies tensors into a network, names, shapes and types equal one by one.

    Args:
        source: Where the tensors come from, for the error message.

    Raises:
        IntegrityError: A tensor is missing, left over, or of another shape or type.
    """
    wanted = network.state_dict()
    missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or extra:
        parts = [f"{title} {_some(names)}" for title, names in (("lacks", missing), ("also holds", extra)) if names]
        raise IntegrityError(f"The weights of {source} don't fit the architecture: it {' and '.join(parts)}.")
    for key, value in wanted.items():
        given = tensors[key]
        if given.shape != value.shape or given.dtype != value.dtype:
            raise IntegrityError(
                f"The weights of {source} don't fit the architecture: '{key}' is {given.dtype} of shape "
                f"{tuple(given.shape)}, expected {value.dtype} of shape {tuple(value.shape)}."
            )
    network.load_state_dict(dict(tensors))


def load_teacher(bundle: TeacherBundle, arch: ModelSpec, device: torch.device | str = "cpu") -> nn.Module:
    """The frozen teacher: pinned weights, eval mode, no parameter gradients.

    Raises:
        IntegrityError: Weights that are damaged, not the pinned ones, or of another architecture.
    """
    card = bundle.card
    if arch.name != card.arch:
        raise IntegrityError(f"Teacher '{card.name}' is a {card.arch}, not a {arch.name}.")
    network = build_network(arch, card.channels, card.classes, card.image_size)
    load_weights(network, read_weights(bundle.weights, card.sha256), f"teacher '{card.name}'")
    return network.eval().requires_grad_(False).to(device)


def _some(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Writing and loading weights: safetensors only, checked against hash and shapes, never unpickled."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dfkdbench.descriptors import ModelSpec
from dfkdbench.errors import ConfigError, IntegrityError
from dfkdbench.files import sha256_of
from dfkdbench.models.build import build_network
from dfkdbench.teachers.card import CARD_FILE, WEIGHTS_FILE, TeacherBundle, TeacherCard
from dfkdbench.weights import dump_weights, load_weights, read_weights


def save_bundle(home: Path, network: nn.Module, facts: Mapping[str, Any], overwrite: bool = False) -> TeacherBundle:
    """Writes `home/<name>/` with weights and card; the folder appears complete or not at all.

    Args:
        facts: Fields of `TeacherCard` except `sha256`.

    Raises:
        ConfigError: There is such a teacher already.
    """
    data = dump_weights(network)
    card = TeacherCard.model_validate({**facts, "sha256": sha256_of(data)})
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

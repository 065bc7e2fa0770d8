"""Checkpoints: a tree of plain values and tensors in one safetensors file. Loading runs no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from dfkdbench.errors import IntegrityError
from dfkdbench.files import read_no_follow, sha256_of, write_atomically

_SCALARS = (bool, int, float, str, type(None))


def save_tree(tree: Any, path: Path) -> None:
    """Writes a tree of dicts, lists, tuples, tensors, numbers, strings and None, atomically.

    Raises:
        TypeError: Something else is in the tree; the message names the place.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_pack(tree, tensors, "state"))
    write_atomically(path, save(tensors, metadata={"tree": skeleton}))


def load_tree(path: Path) -> Any:
    """Reads a tree back; tensors on the CPU.

    Raises:
        IntegrityError: The file is truncated, damaged or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            skeleton = json.loads((file.metadata() or {})["tree"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        return _unpack(skeleton, tensors)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise IntegrityError(
            f"{path} is no whole checkpoint ({error}). Expected a safetensors file with a state tree. "
            "Delete it, or start over with --rerun."
        ) from None


def _pack(value: Any, tensors: dict[str, Tensor], place: str) -> Any:
    if isinstance(value, Tensor):
        name = f"{len(tensors):06d}"
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _pack(item, tensors, f"{place}.{key}")] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_pack(item, tensors, f"{place}[{index}]") for index, item in enumerate(value)]}
    if isinstance(value, _SCALARS):
        return value
    raise TypeError(
        f"{place} is a {type(value).__name__}; a state holds dicts, lists, tensors, numbers, strings and None only"
    )


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    (kind, content), *more = value.items()
    if more:
        raise ValueError("a node with several kinds")
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [_unpack(item, tensors) for item in content]
        return items if kind == "list" else tuple(items)
    raise ValueError(f"unknown node '{kind}'")


def load_network_weights(path: Path, network: torch.nn.Module, sha256: str | None = None) -> None:
    """Loads a state dict into a network of exactly that shape, without unpickling anything.

    Raises:
        IntegrityError: Not a safetensors file, truncated, another hash, or other names, shapes or types.
    """
    network.load_state_dict(parse_weights(read_no_follow(path), network, str(path), sha256))


def parse_weights(data: bytes, like: torch.nn.Module, origin: str, sha256: str | None = None) -> dict[str, Tensor]:
    """Checked tensors for a network from safetensors bytes; see `load_network_weights`."""
    if sha256 is not None and sha256_of(data) != sha256:
        raise IntegrityError(
            f"{origin} was changed or damaged: expected sha256 {sha256[:16]}..., found {sha256_of(data)[:16]}..."
        )
    try:
        tensors = load(data)
    except SafetensorError as error:
        pickled = data[:2] == b"PK" or data[:1] == b"\x80"
        hint = " It looks like a pickle, which is never loaded here." if pickled else " It may be truncated."
        raise IntegrityError(f"{origin} is no whole safetensors file ({error}).{hint}") from None
    expected = like.state_dict()
    problems = sorted(expected.keys() ^ tensors.keys()) or [
        name
        for name, tensor in tensors.items()
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype
    ]
    if problems:
        raise IntegrityError(f"{origin} does not fit the architecture: {', '.join(problems[:4])} differ.")
    return tensors

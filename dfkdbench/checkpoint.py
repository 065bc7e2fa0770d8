"""Checkpoints: a tree of plain values and tensors in one safetensors file. Loading runs no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dfkdbench.errors import IntegrityError
from dfkdbench.files import write_atomically

_SCALARS = (bool, int, float, str, type(None))


def save_tree(tree: Any, path: Path) -> None:
    """Writes what `dump_tree` makes of a tree, atomically.

    Raises:
        TypeError: As there.
    """
    write_atomically(path, dump_tree(tree))


def dump_tree(tree: Any) -> bytes:
    """A file of a tree of dicts, lists, tuples, tensors, numbers, strings and None.

    Raises:
        TypeError: Something else is in the tree; the message names the place.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_pack(tree, tensors, "state"))
    return save(tensors, metadata={"tree": skeleton})


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
        for key in value:
            if not isinstance(key, _SCALARS):
                raise TypeError(f"{place} has a key of type {type(key).__name__}; keys are numbers, strings or None")
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

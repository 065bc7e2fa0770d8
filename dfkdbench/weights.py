"""Weights of networks as safetensors: checked against hash, names, shapes and types, never unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from dfkdbench.errors import IntegrityError
from dfkdbench.files import read_no_follow, sha256_of

_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_BRACE_AT = 8
"""A safetensors file starts with the length of its JSON header in 8 bytes."""


def dump_weights(network: nn.Module) -> bytes:
    """All parameters and buffers; the same weights give the same bytes."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})


def read_weights(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Args:
        sha256: Hash the file must have, or None for any.

    Raises:
        IntegrityError: No such file, no regular file, not safetensors, damaged, or another hash.
    """
    return parse_weights(read_no_follow(path), str(path), sha256)


def parse_weights(data: bytes, origin: str, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors in the bytes of a safetensors file; see `read_weights`.

    Args:
        origin: Where the bytes come from, for the message.
    """
    if data[_BRACE_AT : _BRACE_AT + 1] != b"{":
        what = "a pickle, which could run code when loaded" if data.startswith(_PICKLES) else "no safetensors file"
        raise IntegrityError(f"{origin} is {what}; only safetensors files are read.")
    try:
        tensors: dict[str, Tensor] = load(data)
    except SafetensorError as error:
        raise IntegrityError(f"{origin} is damaged or truncated ({len(data)} bytes; {error}).") from error
    found = sha256_of(data)
    if sha256 is not None and found != sha256:
        raise IntegrityError(f"{origin} has sha256 {found[:12]}…, expected {sha256[:12]}…; it is not the pinned file.")
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


def _some(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def size_limit(network: nn.Module) -> int:
    """The largest file that a network's weights may come in, in bytes."""
    return int(sum(tensor.nbytes for tensor in network.state_dict().values())) + (1 << 20)

"""Checkpoints of teacher training: network, optimiser and epochs done, in one safetensors file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dfkdbench.errors import IntegrityError

_NETWORK = "network/"
_OPTIMIZER = "optimizer/"


def save_progress(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, epochs_done: int) -> None:
    """Replaces the file in one step; a crash leaves the old one or the new one."""
    tensors = {_NETWORK + key: value for key, value in network.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        entries = ((key, value) for key, value in state.items() if isinstance(value, Tensor))
        tensors |= {f"{_OPTIMIZER}{number}/{key}": value for key, value in entries}
    flat = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".writing")
    save_file(flat, temporary, metadata={"progress": json.dumps({"epochs_done": epochs_done})})
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def load_progress(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Takes the state back, in place; the number of epochs done, 0 where there is no file.

    Raises:
        IntegrityError: A file that is damaged or of another network.
    """
    if not path.is_file():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            epochs_done = int(json.loads(file.metadata()["progress"])["epochs_done"])
            tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        weights = {key.removeprefix(_NETWORK): value for key, value in tensors.items() if key.startswith(_NETWORK)}
        network.load_state_dict(weights)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise IntegrityError(f"The checkpoint {path} can't be used ({error}). Remove it to start over.") from error
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(_OPTIMIZER):
            number, name = key.removeprefix(_OPTIMIZER).split("/")
            state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return epochs_done

"""Checkpoints of teacher training: network, optimiser and epochs done."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.errors import IntegrityError


def save_progress(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, epochs_done: int) -> None:
    """Replaces the file in one step; a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    moments = optimizer.state_dict()["state"]
    save_tree({"epochs_done": epochs_done, "network": dict(network.state_dict()), "moments": moments}, path)


def load_progress(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Takes the state back, in place; the number of epochs done, 0 where there is no file.

    Raises:
        IntegrityError: A file that is damaged or of another network.
    """
    if not path.is_file():
        return 0
    try:
        state = load_tree(path)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict({"state": state["moments"], "param_groups": optimizer.state_dict()["param_groups"]})
        return int(state["epochs_done"])
    except (IntegrityError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise IntegrityError(f"The checkpoint {path} can't be used ({error}). Remove it to start over.") from error

"""Checkpoints of teacher training: network, optimiser and how far it is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.errors import IntegrityError


class Position(NamedTuple):
    """How far a training is.

    Attributes:
        epochs: Whole ones.
        steps: Of the epoch after these.
        random_state: That of the epoch's crops; None at its start.
        loss: Sum over its steps; None at its start.
    """

    epochs: int = 0
    steps: int = 0
    random_state: Tensor | None = None
    loss: Tensor | None = None


class Progress:
    """Keeps a training's state in a file: after every epoch, and every minute inside of one.

    Args:
        path: The file, or None to keep nothing.

    Attributes:
        SECONDS: Between two checkpoints inside an epoch.
    """

    SECONDS = 60.0

    def __init__(self, path: Path | None, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._path, self._network, self._optimizer = path, network, optimizer
        self._kept_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether what an epoch has done so far is to be kept now."""
        return self._path is not None and time.monotonic() - self._kept_at >= self.SECONDS

    def keep(self, position: Position) -> None:
        """Replaces the file in one step; a crash leaves the old one or the new one."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        moments = self._optimizer.state_dict()["state"]
        tree = {"epochs_done": position.epochs, "network": dict(self._network.state_dict()), "moments": moments}
        if position.steps:
            tree["epoch"] = {"steps": position.steps, "random_state": position.random_state, "loss": position.loss}
        save_tree(tree, self._path)
        self._kept_at = time.monotonic()

    def load(self) -> Position:
        """Takes the state back, in place; where there is no file, the start.

        Raises:
            IntegrityError: A file that is damaged or of another network.
        """
        if self._path is None or not self._path.is_file():
            return Position()
        try:
            state = load_tree(self._path)
            groups = self._optimizer.state_dict()["param_groups"]
            self._network.load_state_dict(state["network"])
            self._optimizer.load_state_dict({"state": state["moments"], "param_groups": groups})
            return Position(int(state["epochs_done"]), **state.get("epoch", {}))
        except (IntegrityError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise IntegrityError(
                f"The checkpoint {self._path} can't be used ({error}). Remove it to start over."
            ) from error

"""What a run's parts hold at a moment: copied, put back, compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dfkdbench.assembly import Assembly


class Trial:
    """The state of a run at a moment, to which rounds that are only tried go back.

    Attributes:
        state: A copy of what the run's parts hold.
        tally: What its meter held.
    """

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self.state = copy_of(assembly.state_dict())
        self.tally = assembly.meter.tally()

    def undo(self) -> None:
        """Puts everything back, in place."""
        self._assembly.load_state_dict(copy_of(self.state))
        self._assembly.meter.take_back(self.tally)


def undo_all(trials: Sequence[Trial]) -> None:
    """Puts the runs of all of them back."""
    for trial in trials:
        trial.undo()


def parts_of(assembly: Assembly) -> dict[str, Any]:
    """A copy of what the parts hold; loop and meter count for themselves."""
    held = assembly.state_dict()
    return {name: copy_of(tree) for name, tree in held.items() if name not in ("loop", "meter")}


def copy_of(tree: Any) -> Any:
    """A tree of state with tensors of its own, in their layouts."""
    if isinstance(tree, Tensor):
        return tree.detach().clone()
    if isinstance(tree, Mapping):
        return {name: copy_of(value) for name, value in tree.items()}
    return [copy_of(value) for value in tree] if isinstance(tree, list | tuple) else tree


def first_difference(one: Any, other: Any, name: str = "") -> str:
    """The dotted name of the first place in which two trees of state are not the same to the bit, or nothing."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        same = one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
        return "" if same else name
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {**one, **other}:
            place = f"{name}.{key}".lstrip(".")
            if key not in one or key not in other:
                return place
            if found := first_difference(one[key], other[key], place):
                return found
        return ""
    return "" if type(one) is type(other) and one == other else name

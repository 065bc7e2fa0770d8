"""Learning rates over the steps of an optimiser, and where a step finds its own."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from dfkdbench.recipe import OptimizerOptions


def learning_rate(options: OptimizerOptions, step: int, planned_steps: int) -> float:
    """The rate of step `step` (from 0) of `planned_steps`.

    constant: lr. cosine: lr (1 + cos(pi step / planned)) / 2. multistep: lr times gamma for every milestone
    m with step >= m planned, rounded to a whole step. During a warm-up of w steps: lr (step + 1) / w; a cosine
    counts its steps from its end.
    """
    warmup = round(options.warmup * planned_steps)
    if step < warmup:
        return options.lr * (step + 1) / warmup
    if options.schedule == "cosine":
        left = planned_steps - warmup
        progress = min((step - warmup) / left, 1.0) if left else 0.0
        return options.lr * (1 + math.cos(math.pi * progress)) / 2
    if options.schedule == "multistep":
        passed = sum(step >= round(milestone * planned_steps) for milestone in options.milestones)
        return float(options.lr * options.gamma**passed)
    return options.lr


class Rate(Protocol):
    """The rate of a step, and the count of steps."""

    steps: int

    @property
    def value(self) -> Tensor:
        """The rate as a number on the parameters' device; the same tensor at every step."""
        ...

    @property
    def number(self) -> float:
        """The rate on the host, for arithmetic that takes it from there."""
        ...

    def advance(self) -> None:
        """Writes the rate of the coming step and counts the step. Never reads the device."""
        ...

    def restart(self, planned_steps: int) -> None:
        """Counts from 0, for a schedule of another length. Never reads the device."""
        ...


class HostRate:
    """Counted on the host, and written to the device where it changes.

    Args:
        like: A parameter, for device and precision.
    """

    def __init__(self, options: OptimizerOptions, planned_steps: int, like: Tensor) -> None:
        self.steps = 0
        self._options, self._planned_steps = options, planned_steps
        self.value = _rates([options.lr], like)[0]
        self.number = options.lr

    def advance(self) -> None:
        """Writes the rate of the coming step, where it is another, and counts the step."""
        rate = learning_rate(self._options, self.steps, self._planned_steps)
        if rate != self.number:
            self.value.fill_(rate)
            self.number = rate
        self.steps += 1

    def restart(self, planned_steps: int) -> None:
        """Counts from 0, for a schedule of another length."""
        self.steps, self._planned_steps = 0, planned_steps


class DeviceRate:
    """Counted and looked up on the device, so that a captured step finds the rate of each of its repetitions.

    Args:
        like: A parameter, for device and precision.
    """

    def __init__(self, options: OptimizerOptions, planned_steps: int, like: Tensor) -> None:
        self._options, self._planned_steps, self._like = options, planned_steps, like
        self.value = _rates([options.lr], like)[0]
        self._taken = torch.zeros(1, dtype=torch.int64, device=like.device)
        self._table: Tensor | None = None

    @property
    def number(self) -> float:
        """The rate of the last step. Waits for the device."""
        return float(self.value)

    @property
    def steps(self) -> int:
        """Steps counted so far. Waits for the device."""
        return int(self._taken)

    @steps.setter
    def steps(self, steps: int) -> None:
        self._taken.fill_(steps)

    def advance(self) -> None:
        """Looks the rate of the coming step up and counts the step."""
        if self._options.schedule != "constant" or self._options.warmup:
            table = self._rates_of_all_steps()
            self.value.copy_(table.index_select(0, self._taken.clamp(max=self._planned_steps))[0])
        self._taken.add_(1)

    def restart(self, planned_steps: int) -> None:
        """Counts from 0, for a schedule of another length."""
        self._taken.zero_()
        if planned_steps != self._planned_steps:
            self._planned_steps, self._table = planned_steps, None

    def _rates_of_all_steps(self) -> Tensor:
        """Rates of the planned steps, and that of all later ones."""
        if self._table is None:
            steps = range(self._planned_steps + 1)
            rates = [learning_rate(self._options, step, self._planned_steps) for step in steps]
            self._table = _rates(rates, self._like)
        return self._table


def _rates(rates: list[float], like: Tensor) -> Tensor:
    return torch.tensor(rates, device=like.device, dtype=torch.promote_types(torch.float32, like.dtype))

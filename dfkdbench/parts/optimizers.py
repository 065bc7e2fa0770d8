"""Optimisers with their learning-rate schedule, for generators and for the student alike."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from dfkdbench.recipe import OptimizerOptions


def build_optimizer(options: OptimizerOptions, parameters: Iterable[nn.Parameter], planned_steps: int) -> Stepper:
    """An optimiser over `parameters` whose schedule spans `planned_steps` of its own steps."""
    return Stepper(options, list(parameters), planned_steps)


class Stepper:
    """An optimiser, its schedule and its gradient clipping.

    The learning rate is a number on the parameters' device that the host writes and never reads, so that
    a step waits for nothing. `step()` is `set_rate()` followed by `update()`; whoever captures the step
    into a graph captures `update()` and calls `set_rate()` before every replay.

    Args:
        options: Kind, rates and schedule.
        parameters: What is optimised; all on one device.
        planned_steps: Length of the schedule. Past its end the last rate holds.
    """

    def __init__(self, options: OptimizerOptions, parameters: list[nn.Parameter], planned_steps: int) -> None:
        self.parameters = parameters
        self.steps = 0
        self._options = options
        self._planned_steps = planned_steps
        self._rate = torch.tensor(options.lr, device=parameters[0].device, dtype=torch.float32)
        self._optimizer = _build(options, parameters, self._rate)
        self._written = options.lr

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients, or fills them with zeros in place."""
        self._optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        """One update at the scheduled rate. Never reads the device."""
        self.set_rate()
        self.update()

    def set_rate(self) -> None:
        """Writes the rate of the coming step and counts the step."""
        self._write(learning_rate(self._options, self.steps, self._planned_steps))
        self.steps += 1

    def update(self) -> None:
        """Clips the gradients, where asked to, and moves the parameters."""
        if self._options.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self._options.clip_norm)
        self._optimizer.step()

    def restart(self, planned_steps: int) -> None:
        """Forgets moments and steps, for a schedule that starts anew and spans `planned_steps`. Reads no device."""
        self.steps = 0
        self._planned_steps = planned_steps
        for parameter in self.parameters:
            self._optimizer.state[parameter].clear()

    def state_dict(self) -> dict[str, Any]:
        """Steps taken, and each parameter's moments by name, in the parameters' order."""
        return {"steps": self.steps, "moments": [dict(self._optimizer.state[p]) for p in self.parameters]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave; moments that exist are overwritten in place."""
        self.steps = state["steps"]
        for parameter, saved in zip(self.parameters, state["moments"], strict=True):
            _load_moments(self._optimizer.state[parameter], saved, parameter)

    def _write(self, rate: float) -> None:
        if rate != self._written:
            self._rate.fill_(rate)
            self._written = rate


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


def _build(options: OptimizerOptions, parameters: list[nn.Parameter], rate: Tensor) -> torch.optim.Optimizer:
    """Fused kernels everywhere: one launch over all parameters, and the rate may live on the device.

    The rate is put in afterwards: to construct an optimiser with it would read it on the host.
    """
    decay = options.weight_decay
    optimizer: torch.optim.Optimizer
    if options.kind == "sgd":
        optimizer = torch.optim.SGD(
            parameters, options.lr, options.momentum, weight_decay=decay, nesterov=options.nesterov, fused=True
        )
    else:
        kind = torch.optim.Adam if options.kind == "adam" else torch.optim.AdamW
        on_device = rate.device.type == "cuda"
        optimizer = kind(parameters, options.lr, options.betas, weight_decay=decay, fused=True, capturable=on_device)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return optimizer


def _load_moments(moments: dict[str, Any], saved: dict[str, Any], parameter: nn.Parameter) -> None:
    for name in [name for name in moments if name not in saved]:
        del moments[name]
    for name, value in saved.items():
        if isinstance(value, Tensor) and isinstance(moments.get(name), Tensor):
            moments[name].copy_(value)
        else:
            moments[name] = _laid_out_as(parameter, value) if isinstance(value, Tensor) else value


def _laid_out_as(parameter: nn.Parameter, value: Tensor) -> Tensor:
    """A copy on the parameter's device, in its memory format: fused kernels walk both in the order of memory."""
    if value.shape != parameter.shape:
        return value.to(parameter.device, copy=True)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)

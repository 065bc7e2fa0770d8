"""Optimisers with their learning-rate schedule, for generators and for the student alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from dfkdbench.parts.schedules import DeviceRate, HostRate, Rate
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.shortcuts import is_taken

Moments = dict[str, Any]
"""What an optimiser remembers of a parameter: name -> tensor of its shape, or the number of its steps."""

_ADAM_EPSILON = 1e-8


class Moved(NamedTuple):
    """A parameter with its gradient and moments."""

    parameter: nn.Parameter
    gradient: Tensor
    moments: Moments


def build_optimizer(options: OptimizerOptions, parameters: Iterable[nn.Parameter], planned_steps: int) -> Stepper:
    """An optimiser over `parameters` whose schedule spans `planned_steps` of its own steps."""
    return Stepper(options, list(parameters), planned_steps)


class Stepper:
    """An optimiser, its schedule and its gradient clipping.

    The learning rate is a number on the parameters' device that the host never reads, so that a step waits for
    nothing. On an accelerator the device counts the steps and looks the rate up, so that a captured step is repeated at
    the rates of the schedule.

    The arithmetic is torch's own, by the functions behind its optimiser classes: the classes import the compiler when
    they are first used, which takes two seconds of every start.

    Args:
        options: Kind, rates and schedule.
        parameters: What is optimised; all on one device.
        planned_steps: Length of the schedule. Past its end the last rate holds.
    """

    def __init__(self, options: OptimizerOptions, parameters: list[nn.Parameter], planned_steps: int) -> None:
        self.parameters = parameters
        self._options = options
        self._moments: list[Moments] = [{} for _ in parameters]
        self._move = _move_by_sgd if options.kind == "sgd" else _move_by_adam
        self._fused = is_taken("fused-optimizers")
        self._rate = _rate(options, planned_steps, parameters[0], self._fused)

    @property
    def steps(self) -> int:
        """Steps taken. Waits for the device on an accelerator."""
        return self._rate.steps

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients, or fills them with zeros in place."""
        for parameter in self.parameters:
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.detach_().zero_()

    def step(self) -> None:
        """One update at the scheduled rate. Never reads the device."""
        self._rate.advance()
        self.update()

    @torch.no_grad()
    def update(self) -> None:
        """Clips the gradients, where asked to, and moves the parameters that have one."""
        if self._options.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self._options.clip_norm)
        moved = [
            Moved(parameter, parameter.grad, moments)
            for parameter, moments in zip(self.parameters, self._moments, strict=True)
            if parameter.grad is not None
        ]
        self._move(self._options, moved, self._rate.value if self._fused else self._rate.number, self._fused)
        if self._fused:  # whose kernels do not say that they changed what they changed
            for parameter, *_ in moved:
                torch.autograd.graph.increment_version(parameter)

    def restart(self, planned_steps: int) -> None:
        """Forgets moments and steps, for a schedule that starts anew and spans `planned_steps`. Reads no device."""
        self._rate.restart(planned_steps)
        for moments in self._moments:
            moments.clear()

    def state_dict(self) -> dict[str, Any]:
        """Steps taken, and each parameter's moments by name, in the parameters' order."""
        return {"steps": self.steps, "moments": [dict(moments) for moments in self._moments]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave; moments that exist are overwritten in place."""
        self._rate.steps = state["steps"]
        for parameter, moments, saved in zip(self.parameters, self._moments, state["moments"], strict=True):
            _load_moments(moments, saved, parameter)


def _rate(options: OptimizerOptions, planned_steps: int, like: Tensor, fused: bool) -> Rate:
    """Where the rate is kept: on the device where that takes it as a number of its own and a step can be captured."""
    kind = DeviceRate if fused and like.device.type == "cuda" else HostRate
    return kind(options, planned_steps, like)


# Fused: one launch over all parameters, and the rate may live on the device.


def _move_by_sgd(options: OptimizerOptions, moved: Sequence[Moved], rate: Tensor | float, fused: bool) -> None:
    buffers = [moments.get("momentum_buffer") for *_, moments in moved] if options.momentum else []
    sgd(
        [parameter for parameter, *_ in moved],
        [gradient for _, gradient, _ in moved],
        buffers,
        foreach=False,
        fused=fused,
        weight_decay=options.weight_decay,
        momentum=options.momentum,
        lr=rate,
        dampening=0.0,
        nesterov=options.nesterov,
        maximize=False,
    )
    for (*_, moments), buffer in zip(moved, buffers, strict=bool(buffers)):
        moments["momentum_buffer"] = buffer


def _move_by_adam(options: OptimizerOptions, moved: Sequence[Moved], rate: Tensor | float, fused: bool) -> None:
    for parameter, _, moments in moved:
        if not moments:
            moments["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            moments["exp_avg"] = torch.zeros_like(parameter)
            moments["exp_avg_sq"] = torch.zeros_like(parameter)
    move = adam if options.kind == "adam" else adamw
    beta1, beta2 = options.betas
    move(
        [parameter for parameter, *_ in moved],
        [gradient for _, gradient, _ in moved],
        [moments["exp_avg"] for *_, moments in moved],
        [moments["exp_avg_sq"] for *_, moments in moved],
        [],
        [moments["step"] for *_, moments in moved],
        foreach=False,
        fused=fused,
        capturable=isinstance(rate, Tensor) and rate.device.type == "cuda",
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=rate,
        weight_decay=options.weight_decay,
        eps=_ADAM_EPSILON,
        maximize=False,
    )


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

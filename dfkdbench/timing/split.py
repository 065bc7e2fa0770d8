"""Where the time of a round goes: forward passes, backward passes, optimisers, replay, and what is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from dfkdbench.assembly import Assembly
from dfkdbench.parts.optimizers import Stepper

PARTS = ("generator", "teachers", "student", "backward", "optimizers", "replay", "losses and rest")


class Stopwatch:
    """Gives every moment to the innermost part that is going on.

    Args:
        device: Waited for at every change of parts, where it works on its own.

    Attributes:
        seconds: By part; what belongs to no other is in the last of `PARTS`.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._device = device
        self._open = [PARTS[-1]]
        self._since = self._now()

    def enter(self, part: str) -> None:
        """A part begins."""
        self._change()
        self._open.append(part)

    def leave(self) -> None:
        """The part that began last ends."""
        self._change()
        self._open.pop()

    def _change(self) -> None:
        now = self._now()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def _now(self) -> float:
        wait_for(self._device)
        return time.perf_counter()

    def around(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, timed."""

        def timed(*arguments: Any, **named: Any) -> Any:
            self.enter(part)
            try:
                return call(*arguments, **named)
            finally:
                self.leave()

        return timed


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_parts(assembly: Assembly, rounds: int) -> dict[str, float]:
    """Seconds of each of `PARTS` in a round, mean over some.

    On an accelerator the parts are waited for one by one, so that their sum is more than an undisturbed round.
    """
    with _watched(assembly) as watch:
        for _ in range(rounds):
            assembly.loop.advance()
        watch.enter(PARTS[-1])
    return {part: seconds / rounds for part, seconds in watch.seconds.items()}


@contextmanager
def _watched(assembly: Assembly) -> Iterator[Stopwatch]:
    watch = Stopwatch(assembly.parts.device)
    replay = assembly.parts.replay
    networks = {"student": [assembly.student], "teachers": list(assembly.teacher_networks)}
    if "network" in assembly.plan.slots["generator"].provides:
        networks["generator"] = [assembly.generator.network]
    with ExitStack() as stack:
        for part, modules in networks.items():
            for module in modules:
                stack.enter_context(_passes(watch, part, module))
        stack.enter_context(patch.object(torch.autograd, "backward", watch.around("backward", torch.autograd.backward)))
        stack.enter_context(patch.object(torch.autograd, "grad", watch.around("backward", torch.autograd.grad)))
        stack.enter_context(patch.object(Stepper, "update", _method(watch, "optimizers", Stepper.update)))
        for name in ("observe", "sample"):
            stack.enter_context(patch.object(replay, name, watch.around("replay", getattr(replay, name))))
        yield watch


@contextmanager
def _passes(watch: Stopwatch, part: str, module: nn.Module) -> Iterator[None]:
    handles = (
        module.register_forward_pre_hook(lambda *_: watch.enter(part)),
        module.register_forward_hook(lambda *_: watch.leave(), always_call=True),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _method(watch: Stopwatch, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def timed(self: object) -> Any:
        return watch.around(part, method)(self)

    return timed

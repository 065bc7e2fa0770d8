"""Captured rounds without a CUDA device.

A tape of operations stands for a graph: it repeats what the device was asked to do, to the same memory, without any
Python of the round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dfkdbench.assembly import Assembly
from dfkdbench.bench import Request
from dfkdbench.capture import WARM_UP, Lane, RecordedRounds
from dfkdbench.plan import Plan
from dfkdbench.registry import load_registry
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly
from dfkdbench.trial import Trial

ROUNDS = WARM_UP + 3


class Tape(TorchDispatchMode):
    """Repeats operations on the tensors that they were recorded with."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.done.append((func, args, kwargs or {}, [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]))
        return made

    @torch.no_grad()
    def repeat(self) -> None:
        for func, args, kwargs, former in self.done:
            made = [leaf for leaf in tree_leaves(func(*args, **kwargs)) if isinstance(leaf, Tensor)]
            for old, new in zip(former, made, strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Watch(TorchDispatchMode):
    """Refuses what waits for a device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("a number was read from the device")
        return func(*args, **(kwargs or {}))


class TapeRecorder:
    """Records on tapes, and may break off: while it records, or when a round waits for the device."""

    def __init__(self, breaks: bool = False, waits: bool = False) -> None:
        self.breaks, self.waits = breaks, waits
        self.recorded = 0

    def beside(self, runs: Sequence[Callable[[], None]]) -> Callable[[], None]:
        def run_all() -> None:
            for run in runs:
                run()

        return run_all

    @contextmanager
    def watch(self) -> Iterator[None]:
        with Watch():
            yield
        if self.waits:
            raise RuntimeError("operation not permitted")

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        with Tape() as tape:
            run()
        if self.breaks:
            raise RuntimeError("operation not permitted\nand more")
        self.recorded += 1
        return tape.repeat


def planned(plugin: str, settings: tuple[str, ...] = (), **more: Any) -> Plan:
    given = ("batch_size=8", *settings)
    request = Request(plugin=plugin, dataset="digits", budget="smoke", device="cpu", settings=given, **more)
    return plan_untrained(load_registry(), request)


@contextmanager
def recorded(plan: Plan, recorder: TapeRecorder | None = None) -> Iterator[tuple[Assembly, RecordedRounds]]:
    torch.manual_seed(0)
    with untrained_assembly(plan) as assembly:
        yield assembly, RecordedRounds([Lane(assembly)], recorder or TapeRecorder())


def state_of(assembly: Assembly) -> dict[str, Any]:
    return {**Trial(assembly).state, "means": assembly.meter.flush()}


def eager(plan: Plan, rounds: int) -> dict[str, Any]:
    torch.manual_seed(0)
    with untrained_assembly(plan) as assembly:
        for _ in range(rounds):
            assembly.loop.advance()
        return state_of(assembly)

"""Checks of what a step does on the way: what it reads from the device, and how often it asks the networks."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import dfkdbench
from dfkdbench.assembly import Assembly
from dfkdbench.conformance.checks import Breach, DoesNotApply
from dfkdbench.conformance.subjects import Subject
from dfkdbench.conformance.testbed import assemble, home_plan

_ATEN = torch.ops.aten
READING_KERNELS = {
    _ATEN._local_scalar_dense.default: "a tensor is read as a number",
    _ATEN.is_nonzero.default: "a tensor decides a branch",
    _ATEN.nonzero.default: "the size of the result depends on values",
    _ATEN.masked_select.default: "the size of the result depends on values",
    _ATEN._unique2.default: "the size of the result depends on values",
    _ATEN.unique_dim.default: "the size of the result depends on values",
    _ATEN.bincount.default: "the size of the result depends on values",
    _ATEN.equal.default: "a tensor decides a branch",
}
_INDEXING = {_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default}
READING_METHODS = {
    Tensor.cpu: "cpu()",
    Tensor.tolist: "tolist()",
    Tensor.numpy: "numpy()",
    Tensor.__array__: "a NumPy array is made of a tensor",
    Tensor.__repr__: "a tensor is printed",
    Tensor.__format__: "a tensor is formatted",
}
"""What the dispatcher does not see on a CPU, where there is nothing to copy."""

_TORCH = Path(torch.__file__).parent
_CORE = Path(dfkdbench.__file__).parent


class HostReads:
    """What was read on the host, and where."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def note(self, what: str) -> None:
        """Adds a reading, with the innermost place outside torch."""
        frames = traceback.extract_stack()
        own = [frame for frame in frames if _TORCH not in Path(frame.filename).parents and frame.filename != __file__]
        foreign = [frame for frame in own if _CORE not in Path(frame.filename).parents]
        last = own[-1]
        caller = f", called by {Path(foreign[-1].filename).name}" if foreign and foreign[-1] is not last else ""
        self.found.append(f"{Path(last.filename).name}:{last.lineno}: {what}{caller}")


class _Kernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, reads: HostReads) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reads = reads

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READING_KERNELS:
            self._reads.note(f"{func}: {READING_KERNELS[func]}")
        elif func in _INDEXING and any(index is not None and index.dtype == torch.bool for index in args[1]):
            self._reads.note(f"{func} with a mask: the size of the result depends on values")
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, reads: HostReads) -> None:
        super().__init__()
        self._reads = reads

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READING_METHODS:
            self._reads.note(READING_METHODS[func])
        elif func is Tensor.to and any(_names_the_host(value) for value in (*args[1:], *(kwargs or {}).values())):
            self._reads.note('to("cpu")')
        return func(*args, **(kwargs or {}))


def _names_the_host(value: object) -> bool:
    """Whether code says "cpu" outright. The device of another tensor is the CPU here, whatever it is elsewhere."""
    return isinstance(value, str) and value == "cpu"


@contextmanager
def watched_host_reads() -> Iterator[HostReads]:
    """Notes every reading of a tensor on the host inside the block.

    Sees kernels that wait for the device on CUDA, and the methods that copy to the host. Not seen: what C++ extensions
    and other libraries read through a pointer, `tensor.data_ptr()`, and `to(device)` where that is the CPU by chance.
    """
    reads = HostReads()
    with _Methods(reads), _Kernels(reads):
        yield reads


def reads_nothing(subject: Subject) -> str:
    """No tensor is read on the host while a round runs."""
    assembly = assemble(home_plan(subject))
    rounds = 0
    with watched_host_reads() as reads:
        while not assembly.loop.done:
            assembly.loop.advance()
            rounds += 1
    if reads.found:
        more = f" ({len(reads.found)} readings in {rounds} rounds)" if len(reads.found) > 1 else ""
        raise Breach(f"A round reads the device: {reads.found[0]}{more}.")
    return f"{rounds} rounds without a reading; what C++ code reads by itself can't be seen"


class Passes:
    """Counts the passes of networks, and finds those that were made before.

    Attributes:
        repeated: Passes of the network over images that it has seen with the same weights in the same round.
    """

    def __init__(self, assembly: Assembly, network: nn.Module, learns: bool) -> None:
        self._assembly, self._learns = assembly, learns
        self._seen: list[tuple[Any, Tensor]] = []
        self.count = 0
        self.repeated = 0
        self._handle = network.register_forward_pre_hook(self._note)

    def next_round(self) -> None:
        """Forgets what was seen."""
        self._seen = []

    def close(self) -> None:
        """Stops watching."""
        self._handle.remove()

    def _note(self, network: nn.Module, inputs: tuple[Any, ...]) -> None:
        images = inputs[0].detach()
        meter = self._assembly.meter
        weights = (meter.student_steps, next(network.parameters()).requires_grad) if self._learns else None
        self.count += 1
        self.repeated += any(
            state == weights and images.shape == seen.shape and torch.equal(images, seen) for state, seen in self._seen
        )
        self._seen.append((weights, images.clone()))


def asks_once(subject: Subject) -> str:
    """No batch goes twice through the same network: signals are made once and shared."""
    assembly = assemble(home_plan(subject))
    watched = {"teacher": Passes(assembly, assembly.teacher_networks[0], learns=False)}
    watched["student"] = Passes(assembly, assembly.student, learns=True)
    rounds = 0
    while not assembly.loop.done:
        assembly.loop.advance()
        rounds += 1
        for passes in watched.values():
            passes.next_round()
    meter = assembly.meter
    steps = f"{meter.generator_steps} generator and {meter.student_steps} student steps"
    for name, passes in watched.items():
        passes.close()
        if passes.repeated:
            raise Breach(f"{passes.repeated} of the {name}'s {passes.count} passes in {steps} repeat one just made.")
    if not any(passes.count for passes in watched.values()):
        raise DoesNotApply("no network was asked")
    told = " and ".join(f"{passes.count} passes of the {name}" for name, passes in watched.items())
    return f"{told} in {steps}"

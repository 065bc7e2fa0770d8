"""The processes that do one run together, and how the passes of its networks are shared out among them.

Latents, images, signals, losses, replay and generator are of the whole batch in every process, and the same to the bit.
What is shared out are the passes of teachers and student: each process sees an equal share of the rows, in order, and
the signals are put together again before anything looks at them. So a loss is that of the whole batch, whatever it
computes, and one sum over the processes gives the gradient that one process would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dfkdbench.errors import IntegrityError, PlanError, RunError
from dfkdbench.signals import BatchStatistics, Signal

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

_DIGITS_AT_ONCE = 12
"""Hexadecimal digits that a float64 holds exactly."""


class LostProcessError(RunError):
    """Another process of the run has ended, and this one can't go on."""


class Crew:
    """One process, which shares with nobody.

    Attributes:
        rank: Number of this process, from 0.
        size: How many there are.
    """

    rank = 0
    size = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes reports, snapshots and checkpoints, and has the clock."""
        return self.rank == 0

    def place(self, device: str) -> torch.device:
        """The device of this process."""
        return torch.device(device)

    def read(self, images: Tensor, read: Callable[[Tensor], Signal]) -> Signal:
        """What a network says about images (B, C, H, W); a batch that can't be shared equally is seen by all."""
        return read(images)

    def read_student(self, images: Tensor, read: Callable[[Tensor], Signal]) -> Signal:
        """What a network that trains says about images (B, C, H, W).

        Raises:
            PlanError: Images that can't be shared equally.
        """
        return read(images)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Gives every process the gradients of the whole batch, after a backward pass."""

    def settle(self, network: nn.Module) -> None:
        """Averages the running statistics of a network over the processes, after a round."""

    def agree(self, *values: float) -> tuple[float, ...]:
        """The first process's values."""
        return values

    def check_same(self, what: str, digest: str) -> None:
        """Compares a hexadecimal hash between the processes.

        Raises:
            IntegrityError: They differ.
        """

    def may_end(self) -> bool:
        """Whether this process says how the run ended: the first that asks."""
        return True


ALONE = Crew()


class SharedCrew(Crew):
    """The processes of the default group of `torch.distributed`; every one makes the same calls in the same order.

    Args:
        store: Of the group, to count in.
        averages: Whether batch norms normalise by the share of each process, so that running statistics differ.

    Raises:
        LostProcessError: From any call, where another process has ended.
    """

    def __init__(self, store: Store, averages: bool) -> None:
        self._store = store
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self._averages = averages

    def place(self, device: str) -> torch.device:
        """The accelerator of this process's number, or the CPU."""
        kind = torch.device(device).type
        return torch.device(kind, self.rank) if kind == "cuda" else torch.device(kind)

    def read(self, images: Tensor, read: Callable[[Tensor], Signal]) -> Signal:
        """The signal of all images, each process having seen its share."""
        if len(images) % self.size:
            return read(images)
        return self._whole_signal(read(self.share(images)))

    def read_student(self, images: Tensor, read: Callable[[Tensor], Signal]) -> Signal:
        """As `read`; the network's batch norms see what the plan's batch statistics say."""
        if len(images) % self.size:
            raise PlanError(
                f"{len(images)} images of a student's batch can't be shared equally among {self.size} processes. "
                "Choose another batch_size or --processes."
            )
        return self._whole_signal(read(self.share(images)))

    def share(self, rows: Tensor) -> Tensor:
        """This process's rows; their gradient is put together from all processes."""
        share: Tensor = _Share.apply(rows, self)
        return share

    def whole(self, rows: Tensor) -> Tensor:
        """All processes' rows, for what every process computes alike."""
        whole: Tensor = _Whole.apply(rows, self)
        return whole

    def exchange(self, rows: Tensor) -> Tensor:
        """All processes' rows, for what each process computes of its own share: their gradients add up."""
        exchanged: Tensor = _Exchange.apply(rows, self)
        return exchanged

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """One sum over all gradients, as one flat tensor.

        The losses are already those of the whole batch, so that the sum of what the shares contribute is its gradient.
        """
        _in_one(self.sum, [parameter.grad for parameter in parameters if parameter.grad is not None])

    def settle(self, network: nn.Module) -> None:
        """One mean over all running statistics, as one flat tensor."""
        if self._averages:
            _in_one(
                lambda flat: self.sum(flat).div_(self.size), [b for b in network.buffers() if b.is_floating_point()]
            )

    def agree(self, *values: float) -> tuple[float, ...]:
        """The first process's values. Waits for the others, not for the device."""
        held = torch.tensor(values, dtype=torch.float64)
        _together(torch.distributed.broadcast, held, src=0)
        return tuple(held.tolist())

    def check_same(self, what: str, digest: str) -> None:
        """Compares by the first digits."""
        (first,) = self.agree(own := float(int(digest[:_DIGITS_AT_ONCE], 16)))
        differing = self.sum(torch.tensor([float(first != own)]))
        if differing.item():
            raise IntegrityError(
                f"The {self.size} processes of the run have not the same {what}: they started from different "
                "files, or a part or the device gives other numbers for the same input. Run it with one process."
            )

    def may_end(self) -> bool:
        """The first that asks."""
        return bool(_together(self._store.add, "ends", 1) == 1)

    def rows(self, count: int) -> slice:
        """Which rows of `count` are this process's."""
        share = count // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        _together(torch.distributed.all_reduce, tensor)
        return tensor

    def concatenate(self, rows: Tensor) -> Tensor:
        """All processes' rows, one share behind the other, outside of every graph."""
        rows = rows.contiguous()
        whole = rows.new_empty(self.size * len(rows), *rows.shape[1:])
        _together(torch.distributed.all_gather_into_tensor, whole, rows)
        return whole

    def _whole_signal(self, signal: Signal) -> Signal:
        """The signal of all shares, withheld where theirs are."""
        logits, features, stages, statistics, heads, means, classes = signal
        return type(signal)._make(
            (
                self._whole_or_none(logits),
                self._whole_or_none(features),
                tuple(map(self.whole, stages)),
                tuple(map(self._whole_statistics, statistics)),
                tuple(map(self.whole, heads)),
                tuple(map(self.whole, means)),
                self._whole_or_none(classes),
            )
        )

    def _whole_or_none(self, rows: Tensor | None) -> Tensor | None:
        return None if rows is None else self.whole(rows)

    def _whole_statistics(self, layer: BatchStatistics) -> BatchStatistics:
        mean, variance = combined(self.whole(torch.stack([layer.mean, layer.variance])[None]))
        return layer._replace(mean=mean, variance=variance)


class _Share(torch.autograd.Function):
    """Rows that all processes have alike, to those of this one."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, crew: SharedCrew) -> Tensor:
        """This process's rows."""
        ctx.crew = crew
        return rows[crew.rows(len(rows))].clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Each process knows the gradient of its rows."""
        return ctx.crew.whole(gradient), None


class _AllRows(torch.autograd.Function):
    """This process's rows, to those of all."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, crew: SharedCrew) -> Tensor:
        """All processes' rows."""
        ctx.crew = crew
        return crew.concatenate(rows)


class _Whole(_AllRows):
    """All processes compute the same of them."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Every process has the whole gradient."""
        return ctx.crew.share(gradient), None


class _Exchange(_AllRows):
    """Each process computes something else of them."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradients of all processes, added, of this one's rows."""
        total = ctx.crew.sum(gradient.clone(memory_format=torch.contiguous_format))
        return total[ctx.crew.rows(len(total))], None


def combined(statistics: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,) of equally many values each, from theirs (N, 2, C)."""
    means, variances = statistics.unbind(1)
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


def _in_one(change: Callable[[Tensor], Tensor], tensors: Sequence[Tensor]) -> None:
    """Changes all tensors in place, laid out as one."""
    if not tensors:
        return
    flat = change(torch.cat([tensor.reshape(-1) for tensor in tensors]))
    for tensor, changed in zip(tensors, flat.split_with_sizes([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(changed.view_as(tensor))


def _together(call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """A call that needs all processes."""
    try:
        return call(*arguments, **more)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise LostProcessError(f"Another process of the run has ended: {str(error).splitlines()[0]}") from error

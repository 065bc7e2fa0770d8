"""A bank of stored images."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from dfkdbench.devices import memory_bytes
from dfkdbench.errors import PlanError
from dfkdbench.seams import Batch, Generator, Setting, TargetOf
from dfkdbench_mb_dfkd.options import BankOptions

RUN_IN_PERIODS = 80
"""The official recipe pushes every 5 of 400 epochs."""


class BankReplay:
    """Stores images of the stream now and then and gives some of them back in every step.

    MB-DFKD (Binici et al., WACV 2022), after the re-implementation by Patel et al. (CVPR 2023): the first images of
    a batch enter every `push_every` student steps. What is stored keeps its labels where it has any; the teacher is
    asked about it anew in every step. Deviation: the bank lives on the run's device and not on the host.

    All choices are made on the host from the bank's own random stream, so that they wait for no device and are
    the same on every device.

    Args:
        options: Capacity, policy and pushes.
        setting: Image shape, device, size of the replayed batch, planned student steps.

    Raises:
        PlanError: The capacity is less than a push of the policy `ring`, or more than the device holds.
    """

    def __init__(self, options: BankOptions, setting: Setting) -> None:
        self._policy = options.policy
        self._push_size = min(options.push_size or setting.replay_size, setting.batch_size)
        self._capacity = options.capacity or 10 * self._push_size
        self._period = options.push_every or max(1, setting.student_steps // RUN_IN_PERIODS)
        self._first_push = options.first_push or max(1, self._period // 5)
        self._device = setting.device
        _check_capacity(self._capacity, setting)
        if self._policy == "ring":
            self._capacity = _whole_slots(self._capacity, self._push_size)
        self._rng = torch.Generator().manual_seed(setting.rng("bank").initial_seed())
        self._images: _Rows | None = None
        self._labels: _Rows | None = None
        self._steps = 0
        self._seen = 0

    def __len__(self) -> int:
        """Images stored."""
        return 0 if self._images is None else len(self._images.stored)

    @property
    def nbytes(self) -> int:
        """Bytes of the stored images and labels: grows to the capacity and stays there."""
        return sum(rows.stored.nbytes for rows in (self._images, self._labels) if rows is not None)

    def follow(self, generator: Generator) -> None:
        """Does nothing: the bank looks at images only."""

    def generator_learned(self, steps: int) -> None:
        """Does nothing."""

    def observe(self, batch: Batch, target_of: TargetOf) -> None:
        """Stores the first images of the batch where a push is due."""
        self._steps += 1
        since_first = self._steps - self._first_push
        if since_first >= 0 and since_first % self._period == 0:
            self._push(batch)

    def sample(self, count: int, target_of: TargetOf) -> Batch | None:
        """Stored images: with `ring` a push as a whole (several where `count` asks for more), else one by one."""
        if self._images is None:
            return None
        chosen = self._draw(count).to(self._device)
        labels = None if self._labels is None else self._labels.stored[chosen]
        return Batch(self._images.stored[chosen], labels)

    def state_dict(self) -> dict[str, Any]:
        """Everything stored, the counters and the random stream."""
        return {
            "images": None if self._images is None else self._images.stored,
            "labels": None if self._labels is None else self._labels.stored,
            "steps": self._steps,
            "seen": self._seen,
            "rng": self._rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._images, self._labels = (self._rows_of(state[name]) for name in ("images", "labels"))
        self._steps, self._seen = state["steps"], state["seen"]
        self._rng.set_state(state["rng"])

    def _draw(self, count: int) -> Tensor:
        """Indices (count,) of images, on the host."""
        if self._policy != "ring":
            return torch.randint(len(self), (count,), generator=self._rng)
        slots, wanted = len(self) // self._push_size, math.ceil(count / self._push_size)
        drawn = torch.randint(slots, (wanted, 1), generator=self._rng)
        return (drawn * self._push_size + torch.arange(self._push_size)).flatten()[:count]

    def _push(self, batch: Batch) -> None:
        images = batch.images[: self._push_size].detach()
        places = self._places(len(images))
        if self._images is None:
            self._images = _Rows(images[:0], self._capacity)
        self._images.put(images, places)
        if batch.labels is not None:
            labels = batch.labels[: self._push_size]
            if self._labels is None:
                self._labels = _Rows(labels[:0], self._capacity)
            self._labels.put(labels, places)
        self._seen += len(images)

    def _rows_of(self, saved: Tensor | None) -> _Rows | None:
        return None if saved is None else _Rows(saved.to(self._device), self._capacity)

    def _places(self, count: int) -> dict[int, int]:
        """Place in the bank -> which of `count` new images goes there, the later one where two would."""
        ranks = range(self._seen, self._seen + count)
        if self._policy != "reservoir":
            return {rank % self._capacity: index for index, rank in enumerate(ranks)}
        fractions = torch.rand(count, generator=self._rng, dtype=torch.float64).tolist()
        places = (
            rank if rank < self._capacity else int(fraction * (rank + 1))
            for rank, fraction in zip(ranks, fractions, strict=True)
        )
        return {place: index for index, place in enumerate(places) if place < self._capacity}


class _Rows:
    """Rows at places from 0 up. Room doubles as they come, up to the capacity: filling it copies a row about once.

    Args:
        first: Rows to begin with, at places 0, 1, ...; copied.
        capacity: Rows at most.
    """

    def __init__(self, first: Tensor, capacity: int) -> None:
        self._room = first.clone()
        self._count = len(first)
        self._capacity = capacity

    @property
    def stored(self) -> Tensor:
        """The rows that have been put."""
        return self._room[: self._count]

    def put(self, new: Tensor, places: dict[int, int]) -> None:
        """New rows at their places: place -> which of them. Places behind the end follow it without a gap."""
        if not places:
            return
        self._count = max(self._count, max(places) + 1)
        self._reserve(self._count)
        self._room[_index(places.keys(), new)] = new[_index(places.values(), new)]

    def _reserve(self, count: int) -> None:
        held = len(self._room)
        if held < count:
            grown = self._room.new_zeros(min(max(count, 2 * held), self._capacity), *self._room.shape[1:])
            grown[:held] = self._room
            self._room = grown


def _index(places: Iterable[int], like: Tensor) -> Tensor:
    return torch.tensor([*places], dtype=torch.int64).to(like.device)


def _whole_slots(capacity: int, push_size: int) -> int:
    if capacity < push_size:
        raise PlanError(
            f"The replay bank with policy ring holds whole pushes of {push_size} images; its capacity of {capacity} "
            f"is less than one. Say --set replay.capacity={10 * push_size}, or --set replay.policy=fifo."
        )
    return capacity - capacity % push_size


def _check_capacity(capacity: int, setting: Setting) -> None:
    needed = capacity * math.prod(setting.image_shape) * 4
    held = memory_bytes(setting.device)
    if held is not None and needed > held:
        raise PlanError(
            f"The replay bank was given a capacity of {capacity:,} images, which take {needed / 2**30:,.1f} GiB; "
            f"{setting.device} has {held / 2**30:,.1f} GiB in all. Choose a smaller one with --set replay.capacity=N."
        )

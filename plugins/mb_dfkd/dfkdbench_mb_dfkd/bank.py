"""A bank of stored images."""

from __future__ import annotations

import math
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
        self._images: Tensor | None = None
        self._labels: Tensor | None = None
        self._steps = 0
        self._seen = 0

    def __len__(self) -> int:
        """Images stored."""
        return 0 if self._images is None else len(self._images)

    @property
    def nbytes(self) -> int:
        """Bytes of the stored images and labels: grows to the capacity and stays there."""
        return sum(tensor.nbytes for tensor in (self._images, self._labels) if tensor is not None)

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
        return Batch(self._images[chosen], None if self._labels is None else self._labels[chosen])

    def state_dict(self) -> dict[str, Any]:
        """Everything stored, the counters and the random stream."""
        return {
            "images": self._images,
            "labels": self._labels,
            "steps": self._steps,
            "seen": self._seen,
            "rng": self._rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._images, self._labels = (_copy(state[name], self._device) for name in ("images", "labels"))
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
        self._images = _put(self._images, images, places)
        if batch.labels is not None:
            self._labels = _put(self._labels, batch.labels[: self._push_size], places)
        self._seen += len(images)

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


def _put(stored: Tensor | None, new: Tensor, places: dict[int, int]) -> Tensor:
    """The stored rows with new ones at their places; places behind the end make it longer."""
    length = 0 if stored is None else len(stored)
    overwritten = [place for place in places if place < length]
    appended = [places[place] for place in sorted(places) if place >= length]
    if stored is not None and overwritten:
        stored[_index(overwritten, new)] = new[_index([places[place] for place in overwritten], new)]
    if not appended and stored is not None:
        return stored
    rows = new[_index(appended, new)]
    return rows if stored is None else torch.cat([stored, rows])


def _index(places: list[int], like: Tensor) -> Tensor:
    return torch.tensor(places, dtype=torch.int64).to(like.device)


def _copy(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device, copy=True)


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

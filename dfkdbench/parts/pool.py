"""A pool of finished images on the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dfkdbench.seams import Batch


class ImagePool:
    """Keeps the last `capacity` labelled images. Memory grows as images come and stays within the capacity.

    Args:
        capacity: Images kept at most.
        image_shape: (channels, height, width).
        device: Where they are kept.
    """

    def __init__(self, capacity: int, image_shape: tuple[int, int, int], device: torch.device) -> None:
        self._capacity = capacity
        self._images = torch.empty(0, *image_shape, device=device)
        self._labels: Tensor | None = None
        self._count = 0
        self._next = 0

    def __len__(self) -> int:
        return self._count

    def append(self, images: Tensor, labels: Tensor) -> None:
        """Adds images (B, C, H, W) with labels (B,) or (B, K); the oldest make room."""
        images, labels = images[-self._capacity :], labels[-self._capacity :]
        count = len(images)
        self._reserve(min(self._count + count, self._capacity), labels)
        places = (self._next + torch.arange(count, device=images.device)) % self._capacity
        self._images[places] = images
        if self._labels is not None:
            self._labels[places] = labels
        self._next = (self._next + count) % self._capacity
        self._count = min(self._count + count, self._capacity)

    def draw(self, count: int, rng: torch.Generator) -> Batch:
        """Images drawn uniformly, with replacement.

        Raises:
            ValueError: The pool is empty.
        """
        if not self._count or self._labels is None:
            raise ValueError("no image can be drawn from an empty pool")
        chosen = torch.randint(self._count, (count,), device=self._images.device, generator=rng)
        return Batch(self._images[chosen], self._labels[chosen])

    def state_dict(self) -> dict[str, Any]:
        """The images, their labels and the place of the next one."""
        labels = None if self._labels is None else self._labels[: self._count]
        return {"images": self._images[: self._count], "labels": labels, "next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._count, self._next = len(state["images"]), state["next"]
        self._labels = None
        if state["labels"] is not None:
            labels = state["labels"].to(self._images.device)
            self._reserve(self._count, labels)
            self._images[: self._count] = state["images"].to(self._images.device)
            self._labels = self._grown(labels, len(self._images))

    def _reserve(self, count: int, like: Tensor) -> None:
        """Makes room for `count` images: at least double what there was, at most the capacity."""
        held = len(self._images)
        if self._labels is None:
            self._labels = like.new_empty(held, *like.shape[1:])
        if held < count:
            room = min(max(count, 2 * held), self._capacity)
            self._images = self._grown(self._images, room)
            self._labels = self._grown(self._labels, room)

    @staticmethod
    def _grown(rows: Tensor, room: int) -> Tensor:
        grown = rows.new_zeros(room, *rows.shape[1:])
        grown[: len(rows)] = rows
        return grown

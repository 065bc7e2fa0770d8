"""Counts what a run spends and averages its losses, without reading the device in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dfkdbench.budgets import OverBudgetError, over_budget


class Tally(NamedTuple):
    """What a meter holds at a moment.

    Attributes:
        spent: The four counts, by name.
        counts: Values added of each loss term since the last flush.
        sums: Their sums, on the device; a copy.
    """

    spent: dict[str, int]
    counts: dict[str, int]
    sums: dict[str, Tensor]


class Meter:
    """Running counts and, since the last `flush`, means of every loss term.

    Teachers count what they are asked, and a watched student counts the images it is trained on, so that a loop of a
    method's own spends the same budget as the standard one. Its steps are `with meter.student_step():`.

    Args:
        limits: The most of each count, by its name; 0 or none for no limit.

    Attributes:
        student_steps: Student optimiser steps.
        student_samples: Images the student was trained on.
        teacher_queries: Images the teachers saw, forward and backward each counted.
        generator_steps: Steps of `generator.fit`.
    """

    def __init__(self, limits: Mapping[str, int] | None = None) -> None:
        self._limits = dict(limits or {})
        self._watching = True
        self._asked: int | None = None
        self.student_steps = 0
        self.student_samples = 0
        self.teacher_queries = 0
        self.generator_steps = 0
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def count_question(self, images: Tensor) -> None:
        """Adds a teacher's pass over images (B, C, H, W): forward, and backward where they are in a graph.

        Raises:
            OverBudgetError: The budget has no more queries.
        """
        backward = images.requires_grad and torch.is_grad_enabled()
        count = images.shape[0] if self._asked is None else self._asked
        self.teacher_queries += count * (1 + backward)
        self._check("teacher_queries", self.teacher_queries)

    @contextmanager
    def question(self, images: int) -> Iterator[None]:
        """Counts every teacher's pass inside as one over that many images, of which this process may have a share."""
        self._asked = images
        try:
            yield
        finally:
            self._asked = None

    @contextmanager
    def student_step(self, images: int | None = None) -> Iterator[None]:
        """Counts what is done inside as one step of the student's optimiser.

        Args:
            images: How many it learns from, or none: as many as the student's passes see.

        Raises:
            OverBudgetError: The budget has no more samples.
        """
        self._watching = images is None
        try:
            self._count_samples(images or 0)
            yield
        finally:
            self._watching = True
        self.student_steps += 1

    def watch(self, student: nn.Module) -> None:
        """Counts the images of every forward pass of a student whose weights are in the graph.

        The student's passes raise OverBudgetError when the budget has no more samples.
        """
        weight = next(student.parameters())

        def count(_student: nn.Module, inputs: tuple[Any, ...]) -> None:
            if self._watching and weight.requires_grad and torch.is_grad_enabled():
                self._count_samples(inputs[0].shape[0])

        student.register_forward_pre_hook(count)

    def _count_samples(self, images: int) -> None:
        self.student_samples += images
        self._check("student_samples", self.student_samples)

    def _check(self, name: str, spent: int) -> None:
        limit = self._limits.get(name, 0)
        if limit and spent > limit:
            raise OverBudgetError(over_budget(name, spent, limit))

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Adds a value of each term to its sum, on the device."""
        for name, term in terms.items():
            if name in self._sums:
                self._sums[name].add_(term.detach())
            else:
                self._sums[name] = term.detach().clone()
            self._counts[name] = self._counts.get(name, 0) + 1

    def flush(self) -> dict[str, float]:
        """Mean of each term since the last flush. Waits for the device: for reports only."""
        if not self._counts:
            return {}
        values = torch.stack([self._sums[name] for name in self._counts]).tolist()
        means = {name: value / count for (name, count), value in zip(self._counts.items(), values, strict=True)}
        for total in self._sums.values():
            total.zero_()
        self._counts = {}
        return means

    def tally(self) -> Tally:
        """All counts and sums as they are."""
        return Tally(self.counters(), dict(self._counts), {name: total.clone() for name, total in self._sums.items()})

    def take_back(self, tally: Tally) -> None:
        """Puts counts and sums back, in place, as if what was done since had not been."""
        self.load_state_dict(tally.spent)
        self._counts = dict(tally.counts)
        for name in [name for name in self._sums if name not in tally.sums]:
            del self._sums[name]
        for name, total in tally.sums.items():
            self._sums[name].copy_(total)

    def count(self, spent: Mapping[str, int], counts: Mapping[str, int]) -> None:
        """Counts what a captured round does without telling; its sums are added to on the device.

        Args:
            spent: By name, as in `counters`.
            counts: Values of each loss term.

        Raises:
            OverBudgetError: The budget has no more samples or queries.
        """
        for name, more in spent.items():
            setattr(self, name, getattr(self, name) + more)
            self._check(name, getattr(self, name))
        for name, more in counts.items():
            self._counts[name] = self._counts.get(name, 0) + more

    def counters(self) -> dict[str, int]:
        """All counts."""
        return {
            "student_steps": self.student_steps,
            "student_samples": self.student_samples,
            "teacher_queries": self.teacher_queries,
            "generator_steps": self.generator_steps,
        }

    def state_dict(self) -> dict[str, Any]:
        """The counts; means are reported before every checkpoint."""
        return dict(self.counters())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts the counts back."""
        for name, value in state.items():
            setattr(self, name, value)

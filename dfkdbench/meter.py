"""Counts what a run spends and averages its losses, without reading the device in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dfkdbench.budgets import OverBudgetError, over_budget


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
        if not self._sums:
            return {}
        values = torch.stack(list(self._sums.values())).tolist()
        means = {name: value / self._counts[name] for name, value in zip(self._sums, values, strict=True)}
        self._sums, self._counts = {}, {}
        return means

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

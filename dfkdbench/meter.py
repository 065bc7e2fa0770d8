"""Counts what a run spends and averages its losses, without reading the device in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Meter:
    """Running counts and, since the last `flush`, means of every loss term.

    Attributes:
        student_steps: Student optimiser steps.
        student_samples: Images the student was trained on.
        teacher_queries: Images the teachers saw, forward and backward each counted.
        generator_steps: Steps of `generator.fit`.
    """

    def __init__(self) -> None:
        self.student_steps = 0
        self.student_samples = 0
        self.teacher_queries = 0
        self.generator_steps = 0
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def count_queries(self, images: int) -> None:
        """Adds teacher queries."""
        self.teacher_queries += images

    def count_student_step(self, images: int) -> None:
        """Adds a student step on that many images."""
        self.student_steps += 1
        self.student_samples += images

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

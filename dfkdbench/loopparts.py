"""What a loop works with: networks, parts and counts, and how it asks teachers and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from dfkdbench.access import Teacher
from dfkdbench.answers import Answer
from dfkdbench.crew import ALONE, Crew
from dfkdbench.meter import Meter
from dfkdbench.parts.optimizers import Stepper
from dfkdbench.plan import PlannedPhase
from dfkdbench.precision import autocast
from dfkdbench.recipe import StudentUpdateOptions
from dfkdbench.seams import Aggregator, Combiner, Generator, Loss, Network, Replay, Signal, read_signal


@dataclass(frozen=True)
class WeightedLosses:
    """Losses of one group, in order, with their weights and what they need of the student."""

    losses: Mapping[str, Loss]
    weights: Mapping[str, float]
    teacher_wants: frozenset[str]
    student_wants: frozenset[str]
    look_at_student: bool

    def only(self, names: Sequence[str] | None, needs: Mapping[str, frozenset[str]]) -> WeightedLosses:
        """The same with some losses left out; None keeps all."""
        kept = [name for name in self.losses if names is None or name in names]
        return group_losses({name: (self.losses[name], self.weights[name], needs[name]) for name in kept})


def group_losses(entries: Mapping[str, tuple[Loss, float, frozenset[str]]]) -> WeightedLosses:
    """A group from name -> (loss, weight, needs)."""
    needs: frozenset[str] = frozenset().union(*(entry[2] for entry in entries.values()))
    student_wants = {name.removeprefix("student_") for name in needs if name.startswith("student_")}
    return WeightedLosses(
        losses={name: entry[0] for name, entry in entries.items()},
        weights={name: entry[1] for name, entry in entries.items()},
        teacher_wants=needs & {"features", "stages", "batch_norm", "batch_norm_means"},
        student_wants=frozenset(student_wants),
        look_at_student=bool(student_wants) or "student" in needs,
    )


@dataclass(frozen=True)
class LoopParts:
    """Everything a loop works with.

    Attributes:
        teachers: Called on images, each gives its signal within the run's access. Their networks are withheld.
        target_wants: What student losses and replay want of the teachers.
        crew: The processes that do the run.
    """

    phases: tuple[PlannedPhase, ...]
    batch_size: int
    replay_size: int
    teachers: tuple[Teacher, ...]
    student: nn.Module
    student_stepper: Stepper
    generator: Generator
    generator_learns: bool
    losses: WeightedLosses
    loss_needs: Mapping[str, frozenset[str]]
    combiner: Combiner
    student_losses: WeightedLosses
    replay: Replay
    aggregator: Aggregator
    target_wants: frozenset[str]
    meter: Meter
    device: torch.device
    precision: str
    student_update: StudentUpdateOptions = field(default_factory=StudentUpdateOptions)
    crew: Crew = ALONE

    def autocast(self) -> AbstractContextManager[object]:
        """The context of forward passes in the recipe's precision."""
        return autocast(self.precision, self.device)

    def read_teachers(self, images: Tensor, wants: frozenset[str]) -> tuple[Signal, ...]:
        """One forward pass of each teacher."""
        with self.meter.question(len(images)):
            return tuple(self.crew.read(images, partial(teacher, wants=wants)) for teacher in self.teachers)

    def read_student(self, student: Network, images: Tensor, wants: frozenset[str]) -> Signal:
        """One forward pass of the student, or of what stands for it."""
        return self.crew.read_student(images, lambda share: read_signal(student, share, wants))

    def aggregate(self, signals: Sequence[Signal]) -> Signal:
        """The aggregated signal, withheld where the teachers' are."""
        return type(signals[0])._make(self.aggregator(signals))

    def answer_of(self, images: Tensor) -> Answer:
        """What the student losses want of the teachers; in a graph only where the images are in one."""
        with self.autocast():
            signals = self.read_teachers(images, self.target_wants)
            return Answer(self.aggregate(signals), signals)

    def target_of(self, images: Tensor) -> Signal:
        """The aggregated signal of `answer_of`."""
        return self.answer_of(images).target

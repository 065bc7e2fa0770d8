"""The standard loop: rounds of generator steps and student steps, as the phases of the recipe say.

A method with another order of steps than phases can express brings a loop of its own with the same
three methods: `advance`, `state_dict`, `load_state_dict`, and the attribute `done`.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from torch import Tensor

from dfkdbench.answers import Answer
from dfkdbench.learning import LearningLoss
from dfkdbench.loopparts import LoopParts
from dfkdbench.plan import PlannedPhase
from dfkdbench.seams import Batch, NetworkGenerator, Signal, View
from dfkdbench.studentupdates import build_student_update


class Loop(Protocol):
    """What a session drives."""

    @property
    def done(self) -> bool:
        """Whether every round has been run."""
        ...

    def advance(self) -> None:
        """One round. Never reads the device."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Where the loop is; the parts' own state is saved by the session."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts the loop where it was."""
        ...


class ImageObjective:
    """The generator's whole objective as one callable: teachers, student where needed, losses, combiner.

    The batch and answer of the last call are kept, detached, for student steps that share them.
    """

    def __init__(self, parts: LoopParts, phase: PlannedPhase) -> None:
        self._parts = parts
        self._losses = parts.losses.only(phase.phase.losses, parts.loss_needs)
        self._wants = self._losses.teacher_wants | parts.target_wants
        self._student_training = phase.phase.student_mode == "train"
        self._learning = [loss for loss in self._losses.losses.values() if isinstance(loss, LearningLoss)]
        self.shared: tuple[Batch, Answer] | None = None

    def __call__(self, images: Tensor, labels: Tensor | None = None, originals: Tensor | None = None) -> Tensor:
        """The scalar to minimise for images (B, C, H, W)."""
        parts = self._parts
        with parts.autocast():
            signals = parts.read_teachers(images, self._wants)
            target = parts.aggregate(signals)
            student = self._read_student(images) if self._losses.look_at_student else None
        view = View(images, target, signals, student, labels, self._ask, originals)
        terms = {name: loss(view) for name, loss in self._losses.losses.items()}
        parts.meter.add(terms)
        self.shared = (Batch(images.detach(), labels), Answer(target, signals).detach())
        total = parts.combiner(terms, self._losses.weights)
        for loss in self._learning:
            loss.judge(total.detach())
        return total

    def settle(self) -> None:
        """Tells losses that learn that a call of `generator.fit` is over."""
        for loss in self._learning:
            loss.settle()

    def _ask(self, images: Tensor, wants: frozenset[str] | None = None) -> Signal:
        """The aggregated signal of other images than the generator's batch, in their graph."""
        with self._parts.autocast():
            return self._parts.aggregate(self._parts.read_teachers(images, self._wants if wants is None else wants))

    def _read_student(self, images: Tensor) -> Signal:
        """The student's signal with gradient to the images only."""
        student = self._parts.student
        student.train(self._student_training)
        student.requires_grad_(False)
        try:
            return self._parts.read_student(student, images, self._losses.student_wants)
        finally:
            student.requires_grad_(True)


class StandardLoop:
    """Runs the phases of a recipe in order.

    Attributes:
        student_steps: Steps taken so far.
    """

    def __init__(self, parts: LoopParts) -> None:
        self._parts = parts
        self._phase = 0
        self._round = 0
        self._student_update = build_student_update(parts)
        parts.replay.follow(parts.generator)
        self._objective = self._enter_phase()

    @property
    def done(self) -> bool:
        """Whether every phase has had its rounds."""
        return self._phase == len(self._parts.phases)

    @property
    def planned(self) -> PlannedPhase:
        """The current phase; the last one once all is done."""
        return self._parts.phases[min(self._phase, len(self._parts.phases) - 1)]

    @property
    def phase_name(self) -> str:
        """Name of the current phase."""
        return self.planned.name

    def advance(self) -> None:
        """One round of the current phase."""
        self.run_round()
        self.count_round()

    def run_round(self) -> None:
        """What a round of the current phase does, without counting it."""
        planned = self._parts.phases[self._phase]
        if planned.phase.order == "generator_first":
            self._fit_generator(planned)
            self._teach_student(planned)
        else:
            self._teach_student(planned)
            self._fit_generator(planned)
        self._objective.shared = None

    def count_round(self) -> None:
        """Counts a round, and goes on to the next phase behind the last one."""
        self._round += 1
        if self._round == self._parts.phases[self._phase].rounds:
            self._phase += 1
            self._round = 0
            self._objective = self._enter_phase()

    def state_dict(self) -> dict[str, Any]:
        """Phase and round; the shared batch never outlives a round."""
        return {"phase": self._phase, "round": self._round}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to the phase and round."""
        self._phase, self._round = state["phase"], state["round"]
        self._objective = self._enter_phase()

    def _enter_phase(self) -> ImageObjective:
        planned = self.planned
        self._parts.generator.train(planned.phase.generator_mode == "train")
        return ImageObjective(self._parts, planned)

    def _fit_generator(self, planned: PlannedPhase) -> None:
        if planned.phase.generator_steps and self._parts.generator_learns:
            self._parts.generator.fit(self._objective, planned.phase.generator_steps)
            self._parts.replay.generator_learned(planned.phase.generator_steps)
            self._objective.settle()
            self._parts.meter.generator_steps += planned.phase.generator_steps

    def _teach_student(self, planned: PlannedPhase) -> None:
        held = self._held_batch(planned.phase.student_images) if planned.phase.student_steps else None
        for _ in range(planned.phase.student_steps):
            if held is not None:
                self._student_step(*held)
            else:
                self._student_step(self._parts.generator.sample(self._parts.batch_size), None)

    def _held_batch(self, images: str) -> tuple[Batch, Answer] | None:
        """The batch that all student steps of the round share, with its answer; None for fresh ones each."""
        if images == "fresh" or (images == "shared" and self._objective.shared is None):
            return None
        if images == "shared":
            return self._objective.shared
        generator = self._parts.generator
        learned = images == "remade" and self._objective.shared is not None
        batch = cast(NetworkGenerator, generator).remake() if learned else generator.sample(self._parts.batch_size)
        return batch, self._parts.answer_of(batch.images)

    def _student_step(self, fresh: Batch, answer: Answer | None) -> None:
        batch, answer = self._with_replay(fresh, answer)
        if answer is None:
            answer = self._parts.answer_of(batch.images)
        self._student_update.step(batch, answer, fresh.images.shape[0])

    def _with_replay(self, fresh: Batch, answer: Answer | None) -> tuple[Batch, Answer | None]:
        """The fresh batch with remembered images behind it, and the answer about all of it where known."""
        parts = self._parts
        if not parts.replay_size:
            return fresh, answer
        remembered = parts.replay.sample(parts.replay_size, parts.target_of)
        parts.replay.observe(fresh, parts.target_of)
        if remembered is None:
            return fresh, answer
        if answer is not None:
            answer = answer.followed_by(parts.answer_of(remembered.images))
        labels = None
        if fresh.labels is not None and remembered.labels is not None:
            labels = torch.cat([fresh.labels, remembered.labels])
        return Batch(torch.cat([fresh.images, remembered.images]), labels), answer

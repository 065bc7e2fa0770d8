"""How a student step of the standard loop learns from fresh images and replayed ones behind them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dfkdbench.answers import Answer
from dfkdbench.loopparts import LoopParts
from dfkdbench.seams import Batch, Network, Taps, View

ACQUISITION, RETENTION = "acquisition", "retention"
"""What reports call the student's loss on the fresh images, and that on the replayed ones after the virtual step."""


class Objective(NamedTuple):
    """What a student step minimises.

    Attributes:
        total: The scalar.
        terms: What reports say about it, by name.
    """

    total: Tensor
    terms: Mapping[str, Tensor]


class StudentUpdate(ABC):
    """One step of the student's optimiser. Keeps no state and never reads the device."""

    def __init__(self, parts: LoopParts) -> None:
        self._parts = parts

    def step(self, batch: Batch, answer: Answer, fresh: int) -> None:
        """Moves the student once.

        Args:
            batch: Images (B, C, H, W): fresh ones, and replayed ones behind them where there are any.
            answer: What the teachers say about all of them.
            fresh: How many are fresh.
        """
        parts = self._parts
        parts.student.train()
        with parts.meter.student_step(batch.images.shape[0]):
            objective = self._objective(batch, answer, fresh)
            parts.student_stepper.zero_grad()
            torch.autograd.backward(objective.total)
            parts.crew.sum_gradients(parts.student_stepper.parameters)
            parts.student_stepper.step()
        parts.meter.add(objective.terms)

    @abstractmethod
    def _objective(self, batch: Batch, answer: Answer, fresh: int) -> Objective:
        """What to minimise, in the graph of the student's weights."""

    def _losses_of(self, network: Network, batch: Batch, answer: Answer) -> Objective:
        """The weighted student losses of a network, from one forward pass."""
        losses = self._parts.student_losses
        with self._parts.autocast():
            student = self._parts.read_student(network, batch.images, losses.student_wants)
        view = View(batch.images, answer.target, answer.teachers, student, batch.labels)
        terms = {name: loss(view) for name, loss in losses.losses.items()}
        return Objective(torch.stack([losses.weights[name] * term for name, term in terms.items()]).sum(), terms)


class JointUpdate(StudentUpdate):
    """The student losses over all images as one batch."""

    def _objective(self, batch: Batch, answer: Answer, fresh: int) -> Objective:
        return self._losses_of(self._parts.student, batch, answer)


class MetaRetainUpdate(StudentUpdate):
    """The student losses, and those on the replayed images after a virtual step on the fresh ones.

    With the student's weights w, the weighted student losses L, fresh images F and replayed ones R:

        w' = w - alpha (grad L_F(w) + inner_weight_decay w),    minimised: L_FR(w) + L_R(w')

    Patel, Mopuri, Qiu, Learning to Retain while Acquiring, CVPR 2023: its equation 7 is L_F(w) + L_R(w')
    as far as it was seen (`plain_images=fresh`); its official code has L_FR(w) in the place of L_F(w)
    (`plain_images=joint`). In the official code w' is made of detached copies of w, so that L_R(w') has a value and no
    gradient (`meta_grad=none`); here it has one, with second derivatives (`full`) or without (`first_order`:
    grad L_F(w) counts as a constant). The official inner step has a momentum that is always empty; it is left out.

    The virtual student normalises by batch statistics, of F and R apart, and moves copies of the running ones: those
    of the student itself are moved by its plain loss alone. Every student loss is called on the images of the plain
    loss, on F and on R (on F once where that is the plain loss), and the teachers are asked no more than by the joint
    update. In a step without replayed images it is the joint update.
    """

    def __init__(self, parts: LoopParts) -> None:
        super().__init__(parts)
        self._options = parts.student_update
        self._weights = {name: weight for name, weight in parts.student.named_parameters() if weight.requires_grad}

    def _objective(self, batch: Batch, answer: Answer, fresh: int) -> Objective:
        student = self._parts.student
        if fresh == batch.images.shape[0]:
            return self._losses_of(student, batch, answer)
        fresh_batch, replayed_batch = _split(batch, fresh)
        fresh_answer, replayed_answer = answer.split(fresh)
        buffers = {name: buffer.clone() for name, buffer in student.named_buffers()}
        if self._options.plain_images == "fresh":
            plain = acquisition = self._losses_of(student, fresh_batch, fresh_answer)
        else:
            plain = self._losses_of(student, batch, answer)
            virtual = _VirtualStudent(student, self._weights, buffers)
            acquisition = self._losses_of(virtual, fresh_batch, fresh_answer)
        stepped = self._step_virtually(acquisition.total)
        retention = self._losses_of(_VirtualStudent(student, stepped, buffers), replayed_batch, replayed_answer).total
        terms = {**plain.terms, ACQUISITION: acquisition.total, RETENTION: retention}
        total = plain.total if self._options.meta_grad == "none" else plain.total + retention
        return Objective(total, terms)

    def _step_virtually(self, acquisition: Tensor) -> dict[str, Tensor]:
        """The weights after the virtual step; those that the loss does not reach stay as they are."""
        options = self._options
        gradients = torch.autograd.grad(
            acquisition,
            list(self._weights.values()),
            create_graph=options.meta_grad == "full",
            retain_graph=options.meta_grad == "full" or options.plain_images == "fresh",
            allow_unused=True,
        )
        with torch.set_grad_enabled(options.meta_grad != "none"):
            return {
                name: weight
                if gradient is None
                else weight - options.alpha * (gradient + options.inner_weight_decay * weight)
                for (name, weight), gradient in zip(self._weights.items(), gradients, strict=True)
            }


class _VirtualStudent:
    """The student's forward pass with other weights and buffers; its own stay untouched.

    Args:
        buffers: By name; batch norm moves them in place.
    """

    def __init__(self, student: nn.Module, weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> None:
        self._student = student
        self._held = {**weights, **buffers}

    def __call__(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        logits: Tensor = functional_call(self._student, self._held, (images, taps))
        return logits


def build_student_update(parts: LoopParts) -> StudentUpdate:
    """The update that the recipe names."""
    return MetaRetainUpdate(parts) if parts.student_update.kind == "meta_retain" else JointUpdate(parts)


def _split(batch: Batch, count: int) -> tuple[Batch, Batch]:
    """The first `count` images and the others, with their labels where there are any."""
    images, labels = batch
    if labels is None:
        return Batch(images[:count]), Batch(images[count:])
    return Batch(images[:count], labels[:count]), Batch(images[count:], labels[count:])

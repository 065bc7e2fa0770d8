"""Checks of what goes in and out: shapes, types, devices, gradients, and a teacher that stays what it was."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dfkdbench.assembly import Assembly
from dfkdbench.conformance.checks import Breach, DoesNotApply
from dfkdbench.conformance.subjects import Subject
from dfkdbench.conformance.task import Task
from dfkdbench.conformance.testbed import (
    BATCH,
    CPU,
    TASK,
    assemble,
    home_of,
    home_plan,
    plan_around,
    run_to_end,
    shorten,
)
from dfkdbench.loop import ImageObjective
from dfkdbench.seams import Batch, View
from dfkdbench.studentupdates import build_student_update

_CONTRASTS = (1.0, 0.1)
"""A hinge may be at rest where the teacher is sure."""

TASKS = (
    Task(1, 16, 2, trained=False),
    Task(3, 32, 10, trained=False),
    Task(1, 64, 100, trained=False),
    Task(3, 16, 100, trained=False),
)


def fits_images(subject: Subject) -> str:
    """A round on images of one and three channels, 16 to 64 pixels, and 2 to 100 classes."""
    home = home_of(subject)
    for task in (TASK, *TASKS):
        assembly = assemble(shorten(plan_around(subject, home, task), rounds=1, student_steps=1), task)
        run_to_end(assembly)
        batch = assembly.generator.sample(BATCH)
        _check_batch(batch, BATCH, task, f"generator.sample({BATCH})")
        if subject.kind == "generator" and "labels" in subject.item.provides and batch.labels is None:
            raise Breach("The generator provides labels, and its samples have none.")
        _check_finite(assembly.student, f"the student after a round on {task}")
        if subject.kind == "replay":
            _check_replay(assembly, task)
        if subject.kind == "loss":
            _check_scalar(subject, task)
    return "; ".join(map(str, (TASK, *TASKS)))


def _check_batch(batch: Batch, count: int, task: Task, what: str) -> None:
    images, labels = batch
    expected = (count, *task.shape)
    if tuple(images.shape) != expected or images.dtype != torch.float32 or images.device != CPU:
        raise Breach(
            f"On {task}, {what} gives {images.dtype} images of shape {tuple(images.shape)} on {images.device}; "
            f"expected torch.float32 of shape {expected} on {CPU}."
        )
    if images.requires_grad:
        raise Breach(f"{what} gives images that are in a graph.")
    if not images.isfinite().all():
        raise Breach(f"On {task}, {what} gives images with values that are not finite.")
    if labels is None:
        return
    if tuple(labels.shape) not in ((count,), (count, task.classes)):
        raise Breach(f"On {task}, {what} gives labels of shape {tuple(labels.shape)}; expected ({count},) or (B, K).")


def _check_finite(network: nn.Module, what: str) -> None:
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise Breach(f"{what} is not finite: '{name}'.")


def _check_replay(assembly: Assembly, task: Task) -> None:
    replay, target_of = assembly.parts.replay, assembly.parts.target_of
    size = replay.nbytes
    if not isinstance(size, int) or size < 0:
        raise Breach(f"nbytes is {size!r}; expected a whole number of bytes.")
    remembered = replay.sample(4, target_of)
    if remembered is not None:
        _check_batch(remembered, 4, task, "replay.sample(4)")


def _check_scalar(subject: Subject, task: Task) -> None:
    value = try_loss(subject, task).value
    if value.shape != () or not value.is_floating_point() or value.device != CPU:
        raise Breach(
            f"On {task} the loss gives {value.dtype} of shape {tuple(value.shape)} on {value.device}; "
            f"expected a floating-point scalar on {CPU}."
        )
    if not value.isfinite():
        raise Breach(f"On {task} the loss is {float(value)}.")


def reaches_images_and_student(subject: Subject) -> str:
    """The objective's gradient gets where it is to train something."""
    if subject.kind == "generator":
        return _reaches_generator(subject)
    what = f"The gradient of the loss with respect to the {subject.item.role}s is"
    norms = []
    for contrast in _CONTRASTS:
        trial = try_loss(subject, contrast=contrast)
        if not trial.value.requires_grad:
            raise Breach("The loss is no function of what it is to train: its value is in no graph.")
        if trial.gradient is None or not trial.gradient.isfinite().all():
            raise Breach(f"{what} missing or not finite.")
        norms.append(float(trial.gradient.norm()))
    if not any(norms):
        raise Breach(f"{what} zero everywhere.")
    told = ", ".join(f"{norm:.2g}" for norm in norms)
    return f"the gradient reaches the {subject.item.role}s, norm {told} at contrasts {_CONTRASTS}"


def _reaches_generator(subject: Subject) -> str:
    if "images_with_gradient" not in subject.item.provides:
        raise DoesNotApply("the generator does not provide images_with_gradient: nothing trains it")
    ends = []
    for sign in (1.0, -1.0):
        assembly = assemble(home_plan(subject))
        objective = _Pull(sign)
        assembly.generator.fit(objective, 2)
        if not objective.calls:
            raise Breach("fit(objective, 2) did not call the objective.")
        if not objective.in_graph:
            raise Breach("The objective was called with images that are in no graph of the generator.")
        ends.append(assembly.generator.state_dict())
    if equal_trees(*ends):
        raise Breach("The generator is the same after steps towards opposite ends: no gradient reaches it.")
    return "two steps of fit, towards dark and towards bright images, leave different generators"


class _Pull:
    """An objective that asks for dark images, or for bright ones; keeps what it saw.

    Attributes:
        in_graph: Whether all images came with a graph.
    """

    def __init__(self, sign: float) -> None:
        self._sign = sign
        self.calls = 0
        self.in_graph = True

    def __call__(self, images: Tensor, labels: Tensor | None = None, originals: Tensor | None = None) -> Tensor:
        self.calls += 1
        self.in_graph &= images.requires_grad
        return self._sign * images.mean()


def leaves_teacher_alone(subject: Subject) -> str:
    """Weights and buffers of the teachers are what they were, and no gradient was left in them."""
    assembly = assemble(home_plan(subject))
    before = [{name: value.clone() for name, value in one.state_dict().items()} for one in assembly.teacher_networks]
    run_to_end(assembly)
    for network, values in zip(assembly.teacher_networks, before, strict=True):
        moved = [name for name, value in network.state_dict().items() if not torch.equal(value, values[name])]
        if moved:
            raise Breach(f"The teacher's '{moved[0]}' was changed.")
        if any(parameter.grad is not None for parameter in network.parameters()):
            raise Breach("A gradient was left in the teacher's parameters.")
        if network.training:
            raise Breach("The teacher was left in train mode.")
    return f"{len(before[0])} tensors of the teacher are what they were"


class LossTrial(NamedTuple):
    """A loss as the loop calls it, once.

    Attributes:
        gradient: Of the whole objective with respect to the images, or to all weights of the student.
    """

    value: Tensor
    gradient: Tensor | None


class _Spy:
    """A loss that keeps its last value."""

    def __init__(self, loss: Any) -> None:
        self._loss = loss
        self.value: Any = None

    def __call__(self, view: View) -> Any:
        self.value = self._loss(view)
        return self.value


def try_loss(subject: Subject, task: Task = TASK, contrast: float = 1.0) -> LossTrial:
    """Calls a loss as the loop does, on toy images with labels.

    Args:
        contrast: Factor of the images; at a low one the teacher is unsure.

    Raises:
        Breach: It gives no tensor.
    """
    plan = plan_around(subject, home_of(subject), task)
    parts = assemble(plan, task).parts
    on_images = subject.item.role == "image"
    losses = (parts.losses if on_images else parts.student_losses).losses
    spy = _Spy(losses[subject.spelling])
    losses[subject.spelling] = spy  # type: ignore[index]  # a dict behind its reading face
    drawn = task.draw(plan.recipe.batch_size, seed=7)
    drawn = drawn._replace(images=contrast * drawn.images)
    if on_images:
        images = drawn.images.requires_grad_()
        torch.autograd.backward(ImageObjective(parts, parts.phases[0])(images, drawn.labels, images))
        gradients = [images.grad]
    else:
        build_student_update(parts).step(drawn, parts.answer_of(drawn.images), len(drawn.images))
        gradients = [parameter.grad for parameter in parts.student.parameters()]
    if not isinstance(spy.value, Tensor):
        raise Breach(f"The loss gives a {type(spy.value).__name__}; expected a tensor.")
    present = [gradient.flatten() for gradient in gradients if gradient is not None]
    return LossTrial(spy.value, torch.cat(present) if present else None)


def equal_trees(one: Any, other: Any) -> bool:
    """Whether two states are equal, tensors to the bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal_trees(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal_trees, one, other))
    return bool(one == other)

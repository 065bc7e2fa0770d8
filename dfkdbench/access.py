"""What a method gets in place of a teacher: an object that answers, within the access that the run declares.

Inside one process this holds against ordinary code and not against code that walks closures, frames, graphs or the
garbage collector. Where labels are all that is declared, the networks are in a process of their own
(`dfkdbench.teacherprocess`), and there is nothing to find. docs/threat-model.md says what remains.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Never

import torch
from torch import Tensor, nn

from dfkdbench.descriptors import ACCESS_BEHIND, TEACHER_ACCESS
from dfkdbench.errors import AccessError
from dfkdbench.meter import Meter
from dfkdbench.signals import Signal, read_signal
from dfkdbench.teacherchannel import TeacherChannel

Answering = Callable[[Tensor, frozenset[str]], Signal]
"""`answering(images, wants)` -> the signal; `wants` are names from `dfkdbench.descriptors.SIGNALS`."""

_BEHIND = {"logits": "soft_labels", **ACCESS_BEHIND}
"""What must be declared for each field of a signal. `classes` comes with either kind of labels."""

_INSIDE = {
    "parameters": "final_layer",
    "named_parameters": "final_layer",
    "buffers": "batch_norm",
    "named_buffers": "batch_norm",
}
"""The declaration that comes nearest to what was asked for of the network itself."""


class Teacher:
    """A teacher as methods see it: `teacher(images)`, and no more.

    It has no `parameters`, `state_dict`, `modules` or layers: to ask for any is an `AccessError`.

    Args:
        answer: Gives the signal.
    """

    __slots__ = ("_answer",)

    def __init__(self, answer: Answering) -> None:
        self._answer = answer

    def __call__(self, images: Tensor, wants: frozenset[str] = frozenset()) -> Signal:
        """What it says about images (B, C, H, W); a forward pass of the frozen network in eval mode.

        Args:
            wants: What to give beside its labels; names from `dfkdbench.descriptors.SIGNALS`.

        Raises:
            AccessError: Something is wanted that the run's access does not contain.
        """
        return self._answer(images, wants)

    def __getattr__(self, name: str) -> Never:
        if name.startswith("__"):
            raise AttributeError(name)
        nearest = _INSIDE.get(name)
        way = f" What can be declared is '{nearest}'." if nearest else ""
        raise AccessError(
            f"The teacher's '{name}' was asked for. A teacher is called on images and gives a signal; its network is "
            f"withheld.{way} Declarations are: {', '.join(TEACHER_ACCESS)}; what they give comes in "
            "signals and in Setting.final_layer."
        )


def limit_teacher(network: nn.Module, access: Collection[str], meter: Meter) -> Teacher:
    """A network of this process, frozen and in eval mode, as a teacher that gives what `access` has."""

    def read(images: Tensor, wants: frozenset[str]) -> Signal:
        meter.count_question(images)
        return read_signal(network, images, wants)

    def read_labels(images: Tensor, wants: frozenset[str]) -> Signal:
        with torch.no_grad():
            return read(images.detach(), wants)

    return _limited(read if "input_gradients" in access else read_labels, access)


def remote_teacher(channel: TeacherChannel, number: int, access: Collection[str], meter: Meter) -> Teacher:
    """A teacher of another process, of which this one has the labels alone."""
    empty = limited_signal(access)._make((None, None, (), (), (), (), None))

    def read(images: Tensor, _: frozenset[str]) -> Signal:
        meter.count_question(images.detach())
        labels = channel.ask(number, images)
        return Signal(labels) if "soft_labels" in access else empty._replace(classes=labels)

    return _limited(read, access)


def _limited(read: Answering, access: Collection[str]) -> Teacher:
    """A teacher that gives what `access` has of what `read` gives."""
    kind = limited_signal(access)
    gives_logits, gives_classes = "soft_labels" in access, "hard_labels" in access
    gives_nothing = not {*access} & {*TEACHER_ACCESS}
    allowed = frozenset(field for field, behind in ACCESS_BEHIND.items() if behind in access)

    def answer(images: Tensor, wants: frozenset[str]) -> Signal:
        if not wants <= allowed:
            _refuse(wants - allowed, access)
        if gives_nothing:
            return kind._make((None, None, (), (), (), (), None))
        signal = read(images, wants)
        if gives_logits:
            return kind._make(signal)
        classes = signal.decisions() if gives_classes else None
        return kind._make((None, *signal[1:-1], classes))

    return Teacher(answer)


def limited_signal(access: Collection[str]) -> type[Signal]:
    """The kind of signal whose other fields than those of `access` can't be read. Allowed ones cost nothing more."""
    withheld = {field: behind for field, behind in _BEHIND.items() if behind not in access}
    if not {"hard_labels", "soft_labels"} & set(access):
        withheld["classes"] = "hard_labels"

    def gives(_self: Signal, field: str) -> bool:
        return field not in withheld

    def refusing(field: str, behind: str) -> property:
        def refuse(_self: Signal) -> Never:
            raise AccessError(_refusal(f"the teacher's {field} (signal.{field})", behind, access))

        return property(refuse)

    members: dict[str, Any] = {field: refusing(field, behind) for field, behind in withheld.items()}
    return type("LimitedSignal", (Signal,), {"__slots__": (), "gives": gives, **members})


def explain(error: Exception, access: Collection[str]) -> str:
    """The text of an error that ended a run; where a gradient was missed that was not declared, what to declare."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, RuntimeError) and "does not require grad" in text and "input_gradients" not in access:
        return f"{text} {_refusal('gradients through the teacher', 'input_gradients', access)}"
    return text


def _refusal(what: str, lacking: str, access: Collection[str]) -> str:
    given = ", ".join(level for level in TEACHER_ACCESS if level in access) or "nothing of the teacher"
    return (
        f"The method asked for {what}, and this run's access has no '{lacking}'; it has: {given}. Declare it where it "
        f'is used: needs={{"{lacking}"}} of the Component, or access={{"{lacking}"}} of a Method with its own loop. '
        "The run then counts in that league."
    )


def _refuse(wants: frozenset[str], access: Collection[str]) -> Never:
    """Refuses signals that the access does not cover."""
    field = min(wants)
    raise AccessError(_refusal(f"the teacher's {field}", ACCESS_BEHIND.get(field, field), access))

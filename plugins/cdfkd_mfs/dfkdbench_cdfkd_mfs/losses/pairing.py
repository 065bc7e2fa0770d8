"""Which head of the student belongs to which teacher."""

from __future__ import annotations

from dfkdbench.errors import PlanError
from dfkdbench.parts.signals import student_of
from dfkdbench.seams import Signal, View


def paired_with_heads(view: View) -> list[tuple[Signal, Signal]]:
    """(head, teacher) for each head of the student, in order; the head's logits as a signal.

    Raises:
        PlanError: The student has another number of heads than there are teachers.
    """
    heads = student_of(view).heads
    if len(heads) != len(view.teachers):
        raise PlanError(
            f"Each head of the student is paired with a teacher; there are {len(heads)} heads and "
            f"{len(view.teachers)} teachers. Choose --teachers or --pair so that they agree (dfkdbench list models)."
        )
    return [
        (Signal(head.to(teacher.logits.dtype)), teacher) for head, teacher in zip(heads, view.teachers, strict=True)
    ]

"""What losses look up in a view."""

from __future__ import annotations

from dfkdbench.seams import Signal, View


def student_of(view: View) -> Signal:
    """The student's signal.

    Raises:
        ValueError: The view was made without one, although the loss needs it.
    """
    if view.student is None:
        raise ValueError("a loss on the student was called with a view that has no student signal")
    return view.student

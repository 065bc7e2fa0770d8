"""Options of the bank. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dfkdbench.recipe import Options


class BankOptions(Options):
    """Options of `bank`."""

    capacity: int | None = Field(None, ge=1, description="Images the bank holds at most; none: ten pushes.")
    policy: Literal["ring", "fifo", "reservoir"] = Field(
        "ring",
        description="ring: whole pushes, the oldest overwritten, one push drawn a step. fifo: images, the oldest "
        "overwritten, drawn one by one. reservoir: images, each one ever pushed kept with the same probability.",
    )
    push_size: int | None = Field(None, ge=1, description="Images of a push; none: as many as are replayed in a step.")
    push_every: int | None = Field(
        None, ge=1, description="Student steps between pushes; none: an eightieth of the run (5 of 400 epochs)."
    )
    first_push: int | None = Field(
        None, ge=1, description="Student step of the first push; none: a fifth of push_every (the first of 5 epochs)."
    )

"""Options of MAD's own parts. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dfkdbench.recipe import Options


class EmaOptions(Options):
    """Options of `ema`."""

    alpha: float = Field(
        0.95,
        ge=0,
        le=1,
        description="Momentum: the copy keeps this share at every generator update; 0 is the generator.",
    )
    buffers: Literal["copy", "ema"] = Field(
        "copy",
        description="Running statistics and other buffers of the copy: the generator's own, or averaged as well.",
    )
    mode: Literal["train", "eval"] = Field(
        "train", description="Mode in which the copy makes images. train: normalised by the batch."
    )


class BoundedKLOptions(Options):
    """Options of `bounded_kl`."""

    temperature: float = Field(1.0, gt=0, description="Temperature T of both distributions.")
    bound: float | None = Field(
        None, gt=0, description="Images that disagree more than this, in nats, give no gradient; none: no bound."
    )

"""Options of CMI's own parts. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dfkdbench.parts.options import PooledOptions
from dfkdbench.recipe import OptimizerOptions, Options


class ReinitialisedOptions(PooledOptions):
    """Options of `reinitialised`."""

    optimizer: OptimizerOptions = Field(
        OptimizerOptions(lr=1e-3, betas=(0.5, 0.999)),
        description="Optimiser of weights and latents, made anew for every call; its schedule spans the call.",
    )


class ContrastiveOptions(Options):
    """Options of `contrastive`."""

    temperature: float = Field(0.1, gt=0, description="Temperature of the similarities.")
    instances: Literal["batch_norm", "stages"] = Field(
        "batch_norm",
        description="What describes an image: spatial means of the inputs of all batch norms, or of the stages.",
    )
    width: int = Field(256, ge=1, description="Length of the head's output.")
    lr: float = Field(1e-3, gt=0, description="Learning rate of the head, with Adam.")
    bank_size: int = Field(40_960, ge=0, description="Images whose features are remembered; the oldest make room.")
    negatives: int = Field(4_096, ge=0, description="Remembered images that a batch is compared with, at most.")
    smallest_area: float = Field(
        0.25, gt=0, le=1, description="Smallest part of the image that the local view shows, as a fraction of its area."
    )
    flip: bool = Field(True, description="Mirror local views half the time.")

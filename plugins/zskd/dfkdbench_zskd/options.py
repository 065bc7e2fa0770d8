"""Options of ZSKD's own part. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dfkdbench.parts.options import PixelsOptions
from dfkdbench.recipe import OptimizerOptions


class ImpressionsOptions(PixelsOptions):
    """Options of `impressions`: those of `pixels`, and how targets are drawn."""

    optimizer: OptimizerOptions = Field(
        OptimizerOptions(lr=1e-3), description="Optimiser of the pixels, made anew for every batch of images."
    )
    batch_size: int | None = Field(100, ge=1, description="Images optimised together, or none: the run's batch size.")
    space: Literal["input", "unit"] = Field(
        "unit", description="What is optimised: the teacher's normalised input, or pixels in units of 0..1."
    )
    start: Literal["normal", "uniform"] = Field(
        "uniform", description="Images start from N(0, 1) in that space, or uniform over the range of valid pixels."
    )
    bounds: Literal["none", "clip", "rescale"] = Field(
        "rescale",
        description="After each step: nothing, clip to valid pixels, or stretch the batch as a whole onto their range.",
    )
    capacity: int = Field(40_000, ge=1, description="Finished images that are kept; the oldest make room.")
    beta_effective: Literal["intended", "official"] = Field(
        "intended",
        description="Scale of the Dirichlet concentrations: 1 and 0.1 for half of the images each, or 1 for all and "
        "every row stretched onto 0..1 once more, as the official code has it in effect.",
    )
    floor: float = Field(1e-4, gt=0, description="Added to every concentration, since a Dirichlet has none of 0.")
    affine: bool = Field(
        False,
        description="Rotate, shrink, shift and mirror every image drawn for the student, at random; the teacher is "
        "asked about the result.",
    )

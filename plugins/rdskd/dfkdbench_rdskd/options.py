"""Options of RDSKD's own parts. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dfkdbench.recipe import Options


class InterSampleDiversityOptions(Options):
    """Options of `inter_sample_diversity`."""

    ratio: Literal["global", "per_pair"] = Field(
        "global", description="One ratio of norms over the whole half-batches (official code), or the mean over pairs."
    )
    eps: float = Field(1e-8, gt=0, description="Smallest distance of images that is divided by.")


class ExponentialIncrementOptions(Options):
    """Options of `exponential_increment`."""

    terms: tuple[str, ...] = Field(
        ("one_hot", "class_entropy"),
        min_length=1,
        description="Losses that enter through the exponential; the others are added as they are.",
    )
    init: float = Field(0.0, description="Reference of every such loss until the first refresh.")
    period: int = Field(120, ge=1, description="Generator steps between two refreshes of the references.")
    phase: int = Field(1, ge=0, description="Step within a period (from 0) after which the references are refreshed.")

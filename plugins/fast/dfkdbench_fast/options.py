"""Options of FastDFKD's own parts. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dfkdbench.parts.options import PooledOptions
from dfkdbench.recipe import Options


class MetaOptions(PooledOptions):
    """Options of `meta`."""

    lr: float = Field(2e-3, gt=0, description="Rate of the weights' copy within a call, with Adam.")
    latent_lr: float = Field(0.01, gt=0, description="Rate of the latents within a call, with Adam.")
    meta_lr: float = Field(
        0.02, gt=0, description="Rate of the weights kept, with Adam; officially lr times the steps of a call."
    )
    betas: tuple[float, float] = Field((0.5, 0.999), description="Moment decay rates of all three.")
    meta: Literal["fomaml", "reptile", "none"] = Field(
        "fomaml",
        description="What moves the weights kept: gradients along the call, the way the copy went, or nothing.",
    )
    gradients: Literal["all", "last"] = Field(
        "all", description="Which of a call's gradients fomaml sums: all (official code) or the last (textbook)."
    )
    reptile_factor: float = Field(67.0, gt=0, description="Factor of the way that the copy went, for reptile.")
    reset_call: int | None = Field(
        None, ge=1, description="Call before which the first linear layer and its norm are drawn anew, or none."
    )


class BatchNormMomentumOptions(Options):
    """Options of `batch_norm_momentum`."""

    momentum: float = Field(
        0.9, ge=0, lt=1, description="Weight of the moving statistics of earlier images beside the batch's own."
    )
    eps: float = Field(1e-8, gt=0, description="Rounds off the norms at 0, where their gradient is undefined.")

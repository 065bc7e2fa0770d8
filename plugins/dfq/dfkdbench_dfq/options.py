"""Options of DFQ's own part. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from dfkdbench.recipe import Options


class GaussianBatchNormOptions(Options):
    """Options of `gaussian_batch_norm`."""

    eps: float = Field(
        1e-5,
        gt=0,
        description="Added to both variances, as batch norm itself does: a channel that is always 0 would divide by 0.",
    )

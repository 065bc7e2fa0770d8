"""Options of ZSKT's own part. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dfkdbench.recipe import Options


class AttentionTransferOptions(Options):
    """Options of `attention_transfer`."""

    reduction: Literal["mean", "sum"] = Field(
        "mean",
        description="Over the positions of a map: mean of the squared differences (official code) or their sum "
        "(paper); the mean over the batch either way.",
    )

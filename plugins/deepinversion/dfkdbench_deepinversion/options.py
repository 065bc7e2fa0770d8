"""Options of DeepInversion's own part. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dfkdbench.recipe import Options


class CompetitionOptions(Options):
    """Options of `competition`."""

    form: Literal["paper", "code"] = Field(
        "paper",
        description="The Jensen-Shannon divergence, or what the official code computes: both divergences with their "
        "arguments swapped, and probabilities and result clamped.",
    )
    temperature: float = Field(3.0, gt=0, description="Temperature of both networks' outputs.")

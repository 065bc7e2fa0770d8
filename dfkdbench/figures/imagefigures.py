"""What a record says of synthetic images. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageFigures:
    """What the teachers make of a run's synthetic images; fields as in the record, None for what can't be said.

    Attributes:
        synthetic_images: How many.
        synthetic_sha256: Hash of the file that holds them.
        synthetic_class_balance: See `dfkdbench.figures.images.class_balance`.
        synthetic_diversity: See `dfkdbench.figures.images.diversity`; the reference is the test set.
        synthetic_frechet: See `dfkdbench.figures.frechet.frechet_distance`; to the test set.
    """

    synthetic_images: int
    synthetic_sha256: str
    synthetic_class_balance: float | None = None
    synthetic_diversity: float | None = None
    synthetic_frechet: float | None = None

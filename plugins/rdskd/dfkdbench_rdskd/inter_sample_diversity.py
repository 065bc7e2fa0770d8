"""Difference of the teacher's outputs against difference of the images, between two half-batches."""

from __future__ import annotations

from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional as F

from dfkdbench.errors import PlanError
from dfkdbench.seams import Setting, Stateless, View
from dfkdbench_rdskd.options import InterSampleDiversityOptions


class InterSampleDiversityLoss(Stateless):
    """|P2 - P1| / |X2 - X1|, with X the images and P the teacher's probabilities of the two half-batches.

    RDSKD (Han et al., ICASSP 2021): minimised, it pushes the images of the halves apart. The rows of a batch are
    independent, so its halves are the two independent draws of the official code. Deviation: that code divides
    by the inverse ratio plus 1e-20, which is 0/0 for two equal halves; here such halves give 0.

    Args:
        options: One global ratio or the mean over pairs; smallest distance of images.
        setting: Batch size.

    Raises:
        PlanError: The batch size is odd.
    """

    def __init__(self, options: InterSampleDiversityOptions, setting: Setting) -> None:
        if setting.batch_size % 2:
            raise PlanError(
                f"The loss inter_sample_diversity compares two half-batches, so batch_size must be even; "
                f"it is {setting.batch_size}. Use --set batch_size={setting.batch_size + 1}"
            )
        self._dims = (0, 1) if options.ratio == "global" else (1,)
        self._eps = options.eps

    def __call__(self, view: View) -> Tensor:
        """The ratio, at least 0."""
        images = _difference_of_halves(view.images.flatten(1))
        outputs = _difference_of_halves(F.softmax(view.teacher.logits, dim=1))
        distance = vector_norm(images, dim=self._dims).clamp(min=self._eps)
        ratio: Tensor = vector_norm(outputs, dim=self._dims) / distance
        return ratio.mean()


def _difference_of_halves(rows: Tensor) -> Tensor:
    first, second = rows.chunk(2)
    return second - first

"""Uncertainty of the teacher about each image."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Stateless, View


class SampleEntropyLoss(Stateless):
    """Mean entropy of the teacher's predictions: mean_i (-sum_k p_ik ln p_ik), between 0 and ln K.

    The instance entropy of DFQ (Choi et al., CVPR Workshops 2020).
    """

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, in nats."""
        log_probabilities = F.log_softmax(view.teacher.logits, dim=1)
        return -(log_probabilities.exp() * log_probabilities).sum(dim=1).mean()

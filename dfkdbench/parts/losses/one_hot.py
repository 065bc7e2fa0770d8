"""Confidence of the teacher in its images."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Stateless, View


class OneHotLoss(Stateless):
    """Cross-entropy of the teacher's output to its own most likely class: -mean_i ln max_k p_ik.

    DAFL's one-hot loss (Chen et al., ICCV 2019), RDSKD's authenticity loss (Han et al., ICASSP 2021). Between
    0 (one-hot) and ln K (uniform). The class is a constant: no gradient flows through the choice.
    """

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, in nats."""
        logits = view.teacher.logits
        return F.cross_entropy(logits, logits.detach().argmax(dim=1))

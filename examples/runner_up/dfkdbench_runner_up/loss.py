"""What the teacher says about an image beside its most likely class."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.seams import Setting, Stateless, View
from dfkdbench_runner_up import RunnerUpOptions


class RunnerUpLoss(Stateless):
    """sum_k m_k ln m_k - mean_i sum_k q_ik ln q_ik: minus the mutual information of image and runner-up class.

    q_i are the teacher's probabilities without its most likely class, m is their mean over the batch (B, K). Between
    -ln K (every image has one runner-up, all are as frequent) and 0 (every image has the same q).
    """

    def __init__(self, options: RunnerUpOptions, setting: Setting) -> None:
        self._temperature = options.temperature

    def __call__(self, view: View) -> Tensor:
        """The loss, a scalar in nats."""
        logits = view.teacher.logits / self._temperature
        top = F.one_hot(logits.detach().argmax(dim=1), logits.shape[1]).bool()
        others = F.softmax(logits.masked_fill(top, -1e4), dim=1).clamp(min=1e-8)
        mean = others.mean(dim=0)
        return (mean * mean.log()).sum() - (others * others.log()).sum(dim=1).mean()

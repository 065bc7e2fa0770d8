"""Cross-entropy of the teacher to the labels that the images are made for."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.options import LabelOptions
from dfkdbench.seams import Setting, Stateless, View


class LabelLoss(Stateless):
    """Mean of -sum_k y_k log softmax(t / T)_k, with y the image's label: a class, or a soft label over the classes.

    The class prior of DeepInversion (Yin et al., CVPR 2020; T = 1, classes) and the objective of ZSKD's data
    impressions (Nayak et al., ICML 2019; T = 20, soft labels). For soft labels its least value is their entropy, not 0.

    Args:
        options: Temperature T.
    """

    def __init__(self, options: LabelOptions, setting: Setting) -> None:
        self._temperature = options.temperature

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, in nats.

        Raises:
            ValueError: The images have no labels, although the loss needs them.
        """
        if view.labels is None:
            raise ValueError("the loss label was called with images that have no labels")
        logits = view.teacher.logits
        labels = view.labels.to(logits.dtype) if view.labels.is_floating_point() else view.labels
        return F.cross_entropy(logits / self._temperature, labels)

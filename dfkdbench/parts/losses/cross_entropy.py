"""Cross-entropy of the student to the labels of the images."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.signals import student_of
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Stateless, View


class CrossEntropyLoss(Stateless):
    """Mean of -log softmax(s)_y, with y the label of the image."""

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, at least 0.

        Raises:
            ValueError: The images have no labels, although the loss needs them.
        """
        if view.labels is None:
            raise ValueError("the loss cross_entropy was called with images that have no labels")
        return F.cross_entropy(student_of(view).logits, view.labels)

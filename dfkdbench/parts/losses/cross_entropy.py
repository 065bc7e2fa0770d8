"""Cross-entropy of the student to hard labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dfkdbench.errors import PlanError
from dfkdbench.parts.options import CrossEntropyOptions
from dfkdbench.parts.signals import student_of
from dfkdbench.seams import Setting, Stateless, View


class CrossEntropyLoss(Stateless):
    """Mean of -log softmax(s)_y, with y the teacher's most likely class or the label of the image.

    Args:
        options: Which of the two.
    """

    def __init__(self, options: CrossEntropyOptions, setting: Setting) -> None:
        self._to_labels = options.target == "labels"

    def __call__(self, view: View) -> Tensor:
        """The mean over the batch, at least 0.

        Raises:
            PlanError: Labels are wanted, but the images have none.
        """
        labels = view.labels if self._to_labels else view.teacher.logits.argmax(dim=1)
        if labels is None:
            raise PlanError(
                "The loss cross_entropy with target 'labels' needs images with labels, and this generator gives none. "
                "Set target to 'teacher', or choose a generator that provides labels; list them with: "
                "dfkdbench list generators"
            )
        return F.cross_entropy(student_of(view).logits, labels)

"""Bounded disagreement of teacher and student, for a generator that seeks it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dfkdbench.parts.options import JSDisagreementOptions
from dfkdbench.parts.signals import student_of
from dfkdbench.seams import Setting, Stateless, View


class JSDisagreementLoss(Stateless):
    """1 - min(max(J, 0), 1), J a Jensen-Shannon divergence of softmax(t / T) and softmax(s / T).

    P, Q and their mean R are clamped to [floor, 1 - floor] after R is formed. `mixture_first` has
    J = (KL(R || P) + KL(R || Q)) / 2, as the official code of Binici et al. (AAAI 2022) and its predecessor (WACV
    2022), reduced by `mean` over all B K elements: with K = 100 outputs that share nothing still give 0.984, and for
    more classes J is often clipped to 0, where the gradient vanishes. `textbook` turns the arguments round and
    `batchmean` divides by B alone; with both and a floor near 0, J is the divergence itself, at most ln 2.

    Args:
        options: Temperature, floor, reduction, direction, and whether the teacher is detached.
    """

    def __init__(self, options: JSDisagreementOptions, setting: Setting) -> None:
        self._options = options

    def __call__(self, view: View) -> Tensor:
        """Between 0 and 1; 1 where student and teacher agree."""
        options = self._options
        logits = view.teacher.logits.detach() if options.detach_teacher else view.teacher.logits
        teacher = F.softmax(logits / options.temperature, dim=1)
        student = F.softmax(student_of(view).logits / options.temperature, dim=1)
        mixture = self._clamp((teacher + student) / 2)
        divergences = [self._divergence(mixture, self._clamp(output)) for output in (teacher, student)]
        return 1 - torch.stack(divergences).mean().clamp(0, 1)

    def _clamp(self, probabilities: Tensor) -> Tensor:
        return probabilities.clamp(self._options.floor, 1 - self._options.floor)

    def _divergence(self, mixture: Tensor, output: Tensor) -> Tensor:
        first, second = (mixture, output) if self._options.direction == "mixture_first" else (output, mixture)
        elements = first * (first.log() - second.log())
        return elements.mean() if self._options.reduction == "mean" else elements.sum(dim=1).mean()

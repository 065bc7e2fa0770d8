"""The generator's side of the game: images on which heads and teachers disagree."""

from __future__ import annotations

from torch import Tensor

from dfkdbench.parts.options import KLOptions
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Stateless, View
from dfkdbench_cdfkd_mfs.losses.heads import HeadsKLLoss, HeadsL1Loss


class AdversarialHeadsL1Loss(Stateless):
    """Minus `heads_l1`: all that the generator of CDFKD-MFS plays for.

    The game is asymmetric: the student's losses on features and on the ensemble have no counterpart here.
    """

    def __init__(self, options: Options, setting: Setting) -> None:
        self._distance = HeadsL1Loss(options, setting)

    def __call__(self, view: View) -> Tensor:
        """At most 0."""
        return -self._distance(view)


class AdversarialHeadsKLLoss(Stateless):
    """Minus `heads_kl`: half of the symmetric game that the code of CDFKD-MFS plays under the name CDFKD."""

    def __init__(self, options: KLOptions, setting: Setting) -> None:
        self._distance = HeadsKLLoss(options, setting)

    def __call__(self, view: View) -> Tensor:
        """At most 0."""
        return -self._distance(view)

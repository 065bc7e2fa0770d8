"""Image losses that ask every teacher for itself, as CDFKD's generator does, not the aggregated target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dfkdbench.parts.losses.activation import ActivationLoss
from dfkdbench.parts.losses.class_entropy import ClassEntropyLoss
from dfkdbench.parts.losses.one_hot import OneHotLoss
from dfkdbench.parts.options import ClassEntropyOptions
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Stateless, View


def mean_over_teachers(loss: Callable[[View], Tensor], view: View) -> Tensor:
    """1/N sum_i loss of a view in which teacher i is the only one."""
    views = [view._replace(teacher=teacher, teachers=(teacher,)) for teacher in view.teachers]
    return torch.stack([loss(one) for one in views]).mean()


class EachOneHotLoss(Stateless):
    """Mean over the teachers of `one_hot`: each is to be sure of its own class."""

    def __init__(self, options: Options, setting: Setting) -> None:
        self._loss = OneHotLoss(options, setting)

    def __call__(self, view: View) -> Tensor:
        """In nats, at least 0."""
        return mean_over_teachers(self._loss, view)


class EachClassEntropyLoss(Stateless):
    """Mean over the teachers of `class_entropy`.

    Args:
        options: Those of `class_entropy`; the official code has base 10.
    """

    def __init__(self, options: ClassEntropyOptions, setting: Setting) -> None:
        self._loss = ClassEntropyLoss(options, setting)

    def __call__(self, view: View) -> Tensor:
        """In units of the base, between -log K and 0."""
        return mean_over_teachers(self._loss, view)


class EachActivationLoss(Stateless):
    """Mean over the teachers of `activation`; their features may have different lengths."""

    def __init__(self, options: Options, setting: Setting) -> None:
        self._loss = ActivationLoss(options, setting)

    def __call__(self, view: View) -> Tensor:
        """At most 0."""
        return mean_over_teachers(self._loss, view)

"""What the judge's own teachers say about the test set, about students and about synthetic images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dfkdbench.assembly import build_teachers
from dfkdbench.datasets.images import ImageSet
from dfkdbench.evaluate import Evaluation, agreement, normalised_batches, predict
from dfkdbench.figures.frechet import Gaussian, GaussianFit, fit_gaussian, frechet_distance
from dfkdbench.figures.imagefigures import ImageFigures
from dfkdbench.figures.images import SpreadFit, class_balance, diversity
from dfkdbench.handover import HandedOver
from dfkdbench.plan import Plan
from dfkdbench.seams import read_signal

_FEATURES = frozenset({"features"})


class Opinion(NamedTuple):
    """What teachers say about images.

    Attributes:
        decisions: Class of the highest mean logit, (N,) int64 on the CPU; -1 where a logit is not finite.
        features: Of the first teacher, (N, D) on the CPU; None where its architecture gives none.
    """

    decisions: Tensor
    features: Tensor | None

    @property
    def finite(self) -> bool:
        """Whether every image has a decision and finite features."""
        return bool((self.decisions >= 0).all()) and (self.features is None or bool(self.features.isfinite().all()))


class Reference(NamedTuple):
    """The test set as the teachers see it, without its labels.

    Attributes:
        decisions: As in `Opinion`.
        gaussian: Of the features; None where there are none, or some are not finite.
        spread: `class_spread` of the features by decision, (K,); None likewise.
    """

    decisions: Tensor
    gaussian: Gaussian | None
    spread: Tensor | None


class JudgesTeachers:
    """The teachers of a plan, loaded by the judge for itself when a figure first needs them.

    What they decide together is the class of the highest mean logit, which is what the aggregator `mean` gives a
    student to imitate. Aggregators of plugins are not asked: their state is the worker's, and their code has no
    business with real images. Features are those of the first teacher, by whose hash a record is keyed.

    Args:
        weights: Paths of the teachers' weights, in the plan's order.
        test_set: Passed once, without its labels.
        device: Where the networks run. All figures are computed on the CPU in float64.
    """

    def __init__(self, plan: Plan, weights: Sequence[Path], test_set: ImageSet, device: torch.device) -> None:
        self._plan, self._weights = plan, weights
        self._test_set, self._device = test_set, device

    def agreement_with(self, student: Evaluation) -> float:
        """Test images for which student and teachers decide alike, in percent; see `dfkdbench.evaluate.agreement`."""
        return agreement(student.predictions, self.reference.decisions)

    def judge_images(self, handed: HandedOver) -> ImageFigures:
        """Balance and diversity of synthetic images and their distance to the test set.

        All are None where a value of an image is not finite, or the teachers' answer is not. Diversity and distance are
        None where the first teacher gives no features.
        """
        count, sha256 = len(handed.images), handed.sha256
        opinion = self._ask(handed.images) if handed.images.isfinite().all() else None
        if opinion is None or not opinion.finite:
            return ImageFigures(count, sha256)
        balance = class_balance(opinion.decisions, self._plan.input.classes)
        gaussian, spread = self.reference.gaussian, self.reference.spread
        if opinion.features is None or gaussian is None or spread is None:
            return ImageFigures(count, sha256, balance)
        varied = diversity(opinion.features, opinion.decisions, spread)
        distance = frechet_distance(fit_gaussian(opinion.features), gaussian)
        return ImageFigures(count, sha256, balance, varied, distance)

    @cached_property
    def reference(self) -> Reference:
        """What the teachers say about the test set; of its features only sums are held."""
        gaussian, spread = GaussianFit(), SpreadFit(self._plan.input.classes)
        decisions, told = [], True
        for images in self._test_images():
            opinion = self._ask(images)
            decisions.append(opinion.decisions)
            told = told and opinion.finite and opinion.features is not None
            if told and opinion.features is not None:
                gaussian.add(opinion.features)
                spread.add(opinion.features, opinion.decisions)
        together = torch.cat(decisions)
        if not told or len(together) == 1:
            return Reference(together, None, None)
        return Reference(together, gaussian.gaussian(), spread.spread())

    @cached_property
    def _networks(self) -> tuple[nn.Module, ...]:
        return build_teachers(self._plan, self._weights, self._device)

    def _test_images(self) -> Iterator[Tensor]:
        spec = self._plan.input
        for images, _ in normalised_batches(self._test_set, spec.mean, spec.std, self._device):
            yield images

    @torch.no_grad()
    def _ask(self, images: Tensor) -> Opinion:
        """What the teachers say about images (B, C, H, W) in their input space."""
        on_device = images.to(self._device).float()
        signals = [read_signal(network, on_device, _FEATURES) for network in self._networks]
        decisions = predict(torch.stack([signal.logits for signal in signals]).mean(0))[1].cpu()
        features = signals[0].features
        return Opinion(decisions, None if features is None else features.flatten(1).cpu())

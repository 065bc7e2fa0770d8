"""Latents that decode to confident, class-balanced images."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dfkdbench.parts.losses.class_entropy import ClassEntropyLoss
from dfkdbench.parts.losses.one_hot import OneHotLoss
from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.parts.options import ClassEntropyOptions
from dfkdbench.recipe import OptimizerOptions, Options
from dfkdbench.seams import Setting, TargetOf, View
from dfkdbench_pre_dfkd.options import TuningOptions


class LatentTuning:
    """A few Adam steps on latents z (M, Z), one in the official code, before they are decoded.

    PRE-DFKD's category-balanced memory inference (Binici et al., AAAI 2022): minimises
    class_balance sum_k m_k log10 m_k + confidence CE(t, argmax t) + prior (sum over moments of their mean squared
    distance from N(0, I), per coordinate), with t the teacher's logits of the decoded images and m their mean
    probabilities. The variance is unbiased; of a single latent it counts as 0.

    Args:
        options: Steps, rate and weights.
        setting: What the two losses are built for.
    """

    def __init__(self, options: TuningOptions, setting: Setting) -> None:
        self._options = options
        self._class_balance = ClassEntropyLoss(ClassEntropyOptions(log_base=10), setting)
        self._confidence = OneHotLoss(Options(), setting)

    def __call__(
        self, latents: Tensor, decoder: nn.Module, target_of: TargetOf, leak_to: Iterable[nn.Parameter] = ()
    ) -> Tensor:
        """The tuned latents. Parameters in `leak_to` get the objective's gradient as well, added to what they have."""
        tuned = nn.Parameter(latents)
        optimizer = build_optimizer(OptimizerOptions(lr=self._options.lr), [tuned], self._options.steps)
        also = list(leak_to)
        for _ in range(self._options.steps):
            optimizer.zero_grad()
            torch.autograd.backward(self.objective(tuned, decoder(tuned), target_of), inputs=[tuned, *also])
            optimizer.step()
        return tuned.detach()

    def objective(self, latents: Tensor, images: Tensor, target_of: TargetOf) -> Tensor:
        """The scalar to minimise for latents and what they decode to."""
        options = self._options
        target = target_of(images)
        view = View(images, target, (target,))
        variance, mean = torch.var_mean(latents, dim=0, correction=min(1, len(latents) - 1))
        prior = (variance - 1).square().mean() + mean.square().mean()
        return (
            options.class_balance * self._class_balance(view)
            + options.confidence * self._confidence(view)
            + options.prior * prior
        )

"""Built-in aggregators of several teachers' signals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dfkdbench.parts.attention import HeadAttention, fit_attention
from dfkdbench.parts.options import AttentionOptions
from dfkdbench.recipe import Options
from dfkdbench.rng import derive_seed
from dfkdbench.seams import Setting, Signal, Stateless


class FirstAggregator(Stateless):
    """The first teacher's signal."""

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, signals: Sequence[Signal]) -> Signal:
        """The first signal as it is."""
        return signals[0]


class MeanAggregator(Stateless):
    """The mean of the teachers' logits, as in CDFKD's ensemble.

    Features, all stages together and all batch-norm means together are averaged where the teachers give the same
    shapes and left out elsewhere.
    Batch-norm statistics belong to one network: with several teachers the target has none (see `View.teachers`).
    Of teachers that give their decisions alone it takes the class with most votes; the lowest of equals.
    """

    def __init__(self, options: Options, setting: Setting) -> None:
        self._classes = setting.classes

    def __call__(self, signals: Sequence[Signal]) -> Signal:
        """The mean signal; with one teacher that teacher's own."""
        if len(signals) == 1:
            return signals[0]
        gives = signals[0].gives
        return type(signals[0])._make(
            Signal(
                _mean_if_alike(_field("logits", signals)),  # type: ignore[arg-type]
                _mean_if_alike(_field("features", signals)),
                _mean_each([signal.stages for signal in signals]) if gives("stages") else (),
                batch_norm_means=_mean_each([signal.batch_norm_means for signal in signals])
                if gives("batch_norm_means")
                else (),
                classes=self._vote(_field("classes", signals)),
            )
        )

    def _vote(self, decisions: Sequence[Tensor | None]) -> Tensor | None:
        """The class (B,) with most votes, or None where a teacher gives more than its decision."""
        present = [decision for decision in decisions if decision is not None]
        if len(present) < len(decisions):
            return None
        ballots = torch.stack(present, dim=1)
        votes = ballots.new_zeros(len(ballots), self._classes)
        return votes.scatter_add(1, ballots, torch.ones_like(ballots)).argmax(dim=1)


class AttentionAggregator(MeanAggregator):
    """Of the teachers it takes the mean, as `mean`. The final student's heads it weighs by attention, as a readout.

    In the worker it is `mean` and sees no real sample: the student is the same, to the bit. `dfkdbench.readout` calls
    the two functions here on the judge's side, once the worker has ended.
    """

    @staticmethod
    def choose_samples(options: AttentionOptions, available: int) -> Tensor:
        """Indices (M,) of the training images that it is to be fitted on. M may be more than `available`."""
        count = options.samples or max(1, round(options.fraction * available))
        if options.pick == "first" or count > available:
            return torch.arange(count)
        rng = torch.Generator().manual_seed(derive_seed("attention samples"))
        return torch.randperm(available, generator=rng)[:count]

    @staticmethod
    def fit_readout(options: AttentionOptions, heads: Tensor, labels: Tensor, rng: torch.Generator) -> HeadAttention:
        """Attention fitted on the heads' logits (N, M, K) for M images of classes `labels` (M,)."""
        return fit_attention(options, heads, labels, rng)


def _field(name: str, signals: Sequence[Signal]) -> list[Tensor | None]:
    """A field of each signal; None where it is withheld."""
    return [getattr(signal, name) if signal.gives(name) else None for signal in signals]


def _mean_each(groups: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
    if len({len(group) for group in groups}) > 1:
        return ()
    means = [_mean_if_alike(members) for members in zip(*groups, strict=True)]
    present = tuple(mean for mean in means if mean is not None)
    return present if len(present) == len(means) else ()


def _mean_if_alike(tensors: Sequence[Tensor | None]) -> Tensor | None:
    """The mean of tensors of one shape, or None where one is missing or of another shape."""
    present = [tensor for tensor in tensors if tensor is not None]
    if len(present) < len(tensors) or len({tensor.shape for tensor in present}) > 1:
        return None
    return torch.stack(present).mean(0)

"""What a network says about a batch: logits, and what else a forward pass was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor

from dfkdbench.precision import widen

_Given = TypeVar("_Given", Tensor, Tensor | None)


class BatchStatistics(NamedTuple):
    """What one batch-norm layer sees and stores, per channel. `variance` is biased, over (B, H, W)."""

    mean: Tensor
    variance: Tensor
    running_mean: Tensor
    running_variance: Tensor


class Taps:
    """Collects what a forward pass is asked for beside its logits.

    Passed down the modules explicitly and returned, so nothing is stashed on modules between passes. All but the
    stages is in float32 at least, statistics from their first sum on, whatever a forward pass works in.

    Args:
        wants: Names from `dfkdbench.descriptors.SIGNALS`.
    """

    def __init__(self, wants: Iterable[str] = ()) -> None:
        self.wants = frozenset(wants)
        self.features: Tensor | None = None
        self.stages: list[Tensor] = []
        self.batch_norm: list[BatchStatistics] = []
        self.batch_norm_means: list[Tensor] = []
        self.heads: tuple[Tensor, ...] = ()

    def tap_heads(self, heads: Sequence[Tensor]) -> None:
        """Keeps the logits (B, K) of each head of a network that has several."""
        if "heads" in self.wants:
            self.heads = tuple(map(widen, heads))

    def tap_features(self, features: Tensor) -> None:
        """Keeps the feature vector (B, D) as the architecture defines it (LeNet-5: output of the third convolution)."""
        if "features" in self.wants:
            self.features = widen(features)

    def tap_stage(self, activation: Tensor) -> None:
        """Keeps the output of a stage, shape (B, C, H, W)."""
        if "stages" in self.wants:
            self.stages.append(activation)

    def tap_batch_norm(self, inputs: Tensor, running_mean: Tensor, running_variance: Tensor) -> None:
        """Keeps the statistics of a batch-norm layer's input, shape (B, C, H, W)."""
        if "batch_norm" in self.wants:
            variance, mean = torch.var_mean(widen(inputs), dim=(0, 2, 3), correction=0)
            self.batch_norm.append(BatchStatistics(mean, variance, running_mean, running_variance))
        if "batch_norm_means" in self.wants:
            self.batch_norm_means.append(widen(inputs).mean((2, 3)))


class Signal(NamedTuple):
    """What a network says about a batch.

    A teacher's is of a subclass that holds what the run's access has (`dfkdbench.access.limited_signal`): to read
    another field is an `AccessError` that names what to declare. Unpacked, such a field is empty.

    Attributes:
        logits: (B, K).
        features: Feature vector (B, D) as the architecture defines it, where asked for.
        stages: Outputs of the stages (B, C, H, W), where asked for.
        batch_norm: Statistics of every batch-norm layer, in order, where asked for.
        heads: Logits (B, K) of each head of a network that has several, where asked for.
        batch_norm_means: Spatial mean (B, C) of each batch-norm layer's input, where asked for.
        classes: Most likely class (B,) of a teacher that gives no more than that; see `decisions`.
    """

    logits: Tensor
    features: Tensor | None = None
    stages: tuple[Tensor, ...] = ()
    batch_norm: tuple[BatchStatistics, ...] = ()
    heads: tuple[Tensor, ...] = ()
    batch_norm_means: tuple[Tensor, ...] = ()
    classes: Tensor | None = None

    def decisions(self) -> Tensor:
        """The most likely class (B,): all that a teacher of the access `hard_labels` gives."""
        return self.logits.argmax(dim=1) if self.classes is None else self.classes

    def gives(self, field: str) -> bool:
        """Whether the field may be read. For parts that take what there is, such as an aggregator."""
        return True

    def detach(self) -> Self:
        """The same values outside every graph; batch-norm statistics are dropped."""
        logits, features, stages, *_ = self
        return self._replace(
            logits=_detached(logits),
            features=_detached(features),
            stages=tuple(stage.detach() for stage in stages),
            batch_norm=(),
            heads=(),
            batch_norm_means=(),
        )

    def about(self, images: slice) -> Self:
        """The signal of some images of the batch. Batch-norm statistics belong to the whole batch and are left out."""
        logits, features, stages, _, heads, means, classes = self
        return self._replace(
            logits=_sliced(logits, images),
            features=_sliced(features, images),
            stages=tuple(stage[images] for stage in stages),
            batch_norm=(),
            heads=tuple(head[images] for head in heads),
            batch_norm_means=tuple(mean[images] for mean in means),
            classes=_sliced(classes, images),
        )

    def followed_by(self, other: Signal) -> Self:
        """The signal of two batches one behind the other: what both have. Batch-norm statistics belong to one batch."""
        logits, features, stages, *_, classes = self
        more_logits, more_features, more_stages, *_, more_classes = other
        joined: tuple[Tensor, ...] = ()
        if len(stages) == len(more_stages):
            joined = tuple(torch.cat(pair) for pair in zip(stages, more_stages, strict=True))
        return self._replace(
            logits=_joined(logits, more_logits),
            features=_joined(features, more_features),
            stages=joined,
            batch_norm=(),
            heads=(),
            batch_norm_means=(),
            classes=_joined(classes, more_classes),
        )


# A withheld field is None, whatever its type says: no part gets at it but by unpacking.


def _detached(tensor: _Given) -> _Given:
    return None if tensor is None else tensor.detach()


def _sliced(tensor: _Given, images: slice) -> _Given:
    return None if tensor is None else tensor[images]


def _joined(first: _Given, second: _Given) -> _Given:
    return None if first is None or second is None else torch.cat([first, second])


class Network(Protocol):
    """A model: `network(images)` gives logits, `network(images, taps)` fills the taps as well."""

    def __call__(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        ...


def read_signal(network: Network, images: Tensor, wants: frozenset[str]) -> Signal:
    """One forward pass with everything that is wanted of it; logits in float32 at least."""
    taps = Taps(wants) if wants else None
    logits = widen(network(images, taps))
    if taps is None:
        return Signal(logits)
    means = tuple(taps.batch_norm_means)
    return Signal(logits, taps.features, tuple(taps.stages), tuple(taps.batch_norm), taps.heads, means)

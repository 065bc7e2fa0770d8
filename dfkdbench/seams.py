"""The tensor seams at which parts meet.

    latents -> [generator] -> images -> [teachers -> aggregator] -> Signal -> [losses -> combiner] -> scalar
                              images -> [replay: observe / sample] -> batch -> [student losses] -> student step

A part is built as `Part(options, setting)` and keeps all its state in `state_dict()`: nested dicts and
lists of tensors, numbers, strings and None. `load_state_dict()` takes the same tree back, in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from dfkdbench.signals import BatchStatistics, Network, Signal, Taps, read_signal

__all__ = [
    "Aggregator",
    "Batch",
    "BatchStatistics",
    "Combiner",
    "Generator",
    "Loss",
    "Network",
    "NetworkGenerator",
    "Objective",
    "Replay",
    "Setting",
    "Signal",
    "Stateful",
    "Stateless",
    "Taps",
    "TargetOf",
    "View",
    "read_signal",
]


class Batch(NamedTuple):
    """Images (B, C, H, W) in the teacher's normalised input space, with labels where they are known.

    Labels are classes (B,), or soft labels (B, K) that sum to 1 per image.
    """

    images: Tensor
    labels: Tensor | None = None


class View(NamedTuple):
    """What a loss looks at.

    Attributes:
        images: (B, C, H, W), with gradient in the generator's objective.
        teacher: The aggregated target. Detached in student losses.
        teachers: Each teacher's own signal, in order; detached in student losses.
        student: The student's signal, or None where no active loss needs it.
        labels: What the images were made for, where the generator provides it: classes (B,) or soft labels (B, K).
        ask: `ask(images, wants)` -> the aggregated signal of other images, such as another view of these, in the graph
            of its argument and with those of `dfkdbench.descriptors.SIGNALS` that are wanted, or the same as `teacher`
            without `wants`; counted as teacher queries. In image losses only.
        originals: The images before the generator augmented them, where it did; in the graph.
    """

    images: Tensor
    teacher: Signal
    teachers: tuple[Signal, ...]
    student: Signal | None = None
    labels: Tensor | None = None
    ask: Callable[..., Signal] | None = None
    originals: Tensor | None = None


Objective = Callable[..., Tensor]
"""`objective(images, labels=None, originals=None)` -> scalar to minimise: teachers, losses and combiner in one call."""

TargetOf = Callable[[Tensor], Signal]
"""`target_of(images)` -> the teachers' aggregated signal; counted as teacher queries."""


@dataclass(frozen=True)
class Setting:
    """What a part may know of the run it is built for.

    Attributes:
        image_shape: (channels, height, width).
        teacher_shapes: Shapes of the first teacher's signals for one image: "features" -> (D,), "batch_norm" -> number
            of layers as (L,), "batch_norm_means" and "stages" -> channels of each as (C1, C2, ...).
        generator_steps: Steps of `generator.fit` planned over the whole run.
        student_steps: Student steps planned over the whole run.
        rng: Role name -> random generator of that role, on the device; adding a role moves no other's.
        final_layer: Weights (K, D) of the first teacher's last linear layer, where a part needs `final_layer`.
        real: All labelled real samples; given to controls on the judge's side only.
        pixel_mean: Per channel, or one for all: an image is (pixel - pixel_mean) / pixel_std with pixels in 0..1.
        pixel_std: Likewise.
        precision: Of forward passes, "fp32" or "bf16"; see `dfkdbench.precision.autocast`.
    """

    classes: int
    image_shape: tuple[int, int, int]
    device: torch.device
    batch_size: int
    replay_size: int
    generator_steps: int
    student_steps: int
    teacher_count: int
    teacher_shapes: Mapping[str, tuple[int, ...]]
    rng: Callable[[str], torch.Generator]
    real: Batch | None = None
    final_layer: Tensor | None = None
    pixel_mean: tuple[float, ...] = (0.0,)
    pixel_std: tuple[float, ...] = (1.0,)
    precision: str = "fp32"

    def for_role(self, role: str) -> Setting:
        """The same setting with random streams of this role's own."""
        streams = self.rng
        return replace(self, rng=lambda name: streams(f"{role}/{name}"))


class Stateful(Protocol):
    """Anything that takes part in checkpoints."""

    def state_dict(self) -> dict[str, Any]:
        """All state, as a tree of dicts, lists, tensors, numbers, strings and None."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Takes back what `state_dict` gave, in place."""
        ...


class Stateless:
    """A part without state."""

    def state_dict(self) -> dict[str, Any]:
        """An empty tree."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take back."""


class Generator(Stateful, Protocol):
    """Makes images. How is its private matter."""

    def fit(self, objective: Objective, steps: int) -> None:
        """Improves its images under the objective. Never reads the device."""
        ...

    def sample(self, count: int) -> Batch:
        """Fresh images without gradient, in the mode last set by `train`."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Sets train or eval mode for `sample`; `fit` always runs in train mode."""
        ...


class NetworkGenerator(Generator, Protocol):
    """A generator that provides `network`: images are `network(latents)`.

    One that provides `latents` can make the images of its last fit step anew.
    """

    @property
    def network(self) -> nn.Module:
        """Latents (B, Z) to images (B, C, H, W)."""
        ...

    def draw_latents(self, count: int) -> Tensor:
        """Fresh latents (count, Z) from the generator's own random stream."""
        ...

    def remake(self) -> Batch:
        """Images of the latents of the last fit step through the network as it is now, without gradient."""
        ...


class Loss(Stateful, Protocol):
    """A term of the generator's objective or of the student's."""

    def __call__(self, view: View) -> Tensor:
        """A scalar to minimise."""
        ...


class Combiner(Stateful, Protocol):
    """Turns the image losses into one scalar."""

    def __call__(self, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        """The scalar to minimise. Called once per generator step, with every active term."""
        ...


class Replay(Stateful, Protocol):
    """Memory of past samples. Active: it may train itself and ask the teacher."""

    def follow(self, generator: Generator) -> None:
        """Called once, before the first round. A memory that needs `network` keeps hold of the generator here."""
        ...

    def generator_learned(self, steps: int) -> None:
        """Called after every `fit` of the generator, also in phases without student steps."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes the memory holds between steps."""
        ...

    def observe(self, batch: Batch, target_of: TargetOf) -> None:
        """Sees the fresh batch of a student step, before the step."""
        ...

    def sample(self, count: int, target_of: TargetOf) -> Batch | None:
        """Remembered images without gradient, or None while there are none."""
        ...


class Aggregator(Stateful, Protocol):
    """Turns several teachers' signals into one."""

    def __call__(self, signals: Sequence[Signal]) -> Signal:
        """The target, of the shapes of one signal."""
        ...

"""The toy task of the kit: noisy copies of one pattern a class, and teachers of it."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfkdbench import PROTOCOL
from dfkdbench.conformance.networks import HEADS, toy_teacher
from dfkdbench.datasets.images import TensorImages, to_uint8
from dfkdbench.descriptors import Budget, DatasetSpec, ModelSpec, TeacherRecipe
from dfkdbench.registry import CORE, Owned
from dfkdbench.rng import derive_seed, seeded_initialisation
from dfkdbench.seams import Batch
from dfkdbench.teachers.bundle import save_bundle
from dfkdbench.teachers.card import TeacherBundle

_MEAN, _STD = 0.5, 0.25
_CONTRAST, _NOISE = 0.25, 0.1
_TRAINING_STEPS, _TRAINING_BATCH = 80, 64
_SIGNALS = frozenset({"features", "stages", "batch_norm"})


@dataclass(frozen=True)
class Task:
    """A toy data set by its shape.

    Attributes:
        trained: Whether its teachers are trained, in about a second, or random.
    """

    channels: int = 1
    image_size: int = 16
    classes: int = 4
    trained: bool = True

    def __str__(self) -> str:
        return f"{self.channels} x {self.image_size} x {self.image_size} images of {self.classes} classes"

    def draw(self, count: int, seed: int) -> Batch:
        """Normalised images (count, C, H, W) and their classes (count,)."""
        rng = torch.Generator().manual_seed(derive_seed("toy images", seed))
        labels = torch.arange(count) % self.classes
        noise = torch.randn(count, *self.shape, generator=rng)
        pixels = (_MEAN + _CONTRAST * self._patterns()[labels] + _NOISE * noise).clamp(0, 1)
        return Batch((pixels - _MEAN) / _STD, labels)

    def image_set(self, count: int, seed: int) -> TensorImages:
        """The same as a judge holds them: pixels 0..255."""
        images, labels = self.draw(count, seed)
        return TensorImages(to_uint8((images * _STD + _MEAN) * 255), labels, self.classes, "toy")  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, self.image_size, self.image_size)

    def _patterns(self) -> Tensor:
        rng = torch.Generator().manual_seed(derive_seed("toy patterns"))
        coarse = torch.randn(self.classes, self.channels, 4, 4, generator=rng)
        return F.interpolate(coarse, size=self.image_size, mode="bilinear")

    def spec(self) -> Owned[DatasetSpec]:
        """Its description, with two tiers: both name no limit that a short run meets."""
        budget = Budget(student_samples=65_536, teacher_queries=4_194_304, device_seconds=3_600, evaluations=2)
        recipe = TeacherRecipe(epochs=1)
        spec = DatasetSpec(
            name="toy",
            target=f"{__name__}:Task",
            summary="Noisy copies of one pattern a class.",
            classes=self.classes,
            channels=self.channels,
            image_size=self.image_size,
            mean=(_MEAN,) * self.channels,
            std=(_STD,) * self.channels,
            pairs=("toy_teacher:toy_student",),
            budgets={"smoke": budget, "quick": budget},
            teacher=recipe,
            teacher_smoke=recipe,
            default_budget="smoke",
            needs_root=False,
        )
        return Owned(spec, CORE, "", __name__)


def _model(name: str, heads: int = 0) -> Owned[ModelSpec]:
    signals = _SIGNALS | ({"heads"} if heads else set())
    target = f"dfkdbench.conformance.networks:{name}"
    return Owned(ModelSpec(name, target, "Toy network.", signals, heads=heads), CORE, "", __name__)


TOY_TEACHER = _model("toy_teacher")
TOY_STUDENT = _model("toy_student")
TOY_STUDENT_HEADS = _model("toy_student_heads", HEADS)


def teachers_of(task: Task, count: int) -> list[TeacherBundle]:
    """Teachers 0, 1, ... of a task, with made-up accuracies; made once a process, in a folder that goes with it."""
    return [_bundle(task, seed) for seed in range(count)]


def teacher_weights(task: Task, count: int) -> list[Path]:
    """Files of the weights of `teachers_of`."""
    return [bundle.weights for bundle in teachers_of(task, count)]


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dfkdbench-toys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _bundle(task: Task, seed: int) -> TeacherBundle:
    facts = {
        "name": f"toy-{seed}",
        "dataset": "toy",
        "dataset_version": "1",
        "arch": "toy_teacher",
        "arch_version": "1",
        "classes": task.classes,
        "channels": task.channels,
        "image_size": task.image_size,
        "mean": (_MEAN,) * task.channels,
        "std": (_STD,) * task.channels,
        "seed": seed,
        "kind": "smoke",
        "recipe": None,
        "accuracy": 100.0,
        "test_fingerprint": "",
        "protocol": PROTOCOL,
        "torch": torch.__version__,
        "created": "",
    }
    return save_bundle(_folder() / str(derive_seed(repr(task))), _teacher(task, seed), facts)


def _teacher(task: Task, seed: int) -> nn.Module:
    with seeded_initialisation(derive_seed("toy teacher", seed)):
        network = toy_teacher(*task.shape[:1], task.classes, task.image_size)
    if not task.trained:
        return network
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(_TRAINING_STEPS):
        images, labels = task.draw(_TRAINING_BATCH, seed=1000 + step)
        loss = F.cross_entropy(network(images), labels)  # type: ignore[arg-type]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return network

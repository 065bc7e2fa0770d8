"""Toy networks and parts for loops."""

from __future__ import annotations

import torch
from torch import nn

from dfkdbench.loop import StandardLoop
from dfkdbench.loopparts import LoopParts, group_losses
from dfkdbench.meter import Meter
from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.plan import PlannedPhase
from dfkdbench.recipe import OptimizerOptions, Phase
from dfkdbench.seams import Batch, Signal, Stateless

CLASSES, SIZE, BATCH = 4, 4, 6


class Toy(nn.Module):
    """A linear network that counts its forward passes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.linear = nn.Linear(SIZE * SIZE, CLASSES)
        self.calls = 0

    def forward(self, images, taps=None):
        self.calls += 1
        return self.linear(self.norm(images).flatten(1))


class ToyTeacher(Toy):
    """As a loop is given it."""

    meter = Meter()

    def forward(self, images, wants=frozenset()):
        self.meter.count_question(images)
        return Signal(super().forward(images))


class ToyGenerator(nn.Module):
    def __init__(self, learns: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(SIZE, SIZE))
        self.learns = learns
        self.made: list[torch.Tensor] = []
        self.rng = torch.Generator().manual_seed(5)

    def _images(self, count):
        return torch.randn(count, 1, SIZE, SIZE, generator=self.rng) * self.weight

    def fit(self, objective, steps):
        for _ in range(steps):
            self.latents = torch.randn(BATCH, 1, SIZE, SIZE, generator=self.rng)
            images = self.latents * self.weight
            self.made.append(images.detach().clone())
            loss = objective(images)
            (gradient,) = torch.autograd.grad(loss, self.weight)
            with torch.no_grad():
                self.weight -= 0.1 * gradient

    @torch.no_grad()
    def remake(self):
        return Batch(self.latents * self.weight)

    @torch.no_grad()
    def sample(self, count):
        images = self._images(count)
        self.made.append(images.clone())
        return Batch(images)


class Confidence(Stateless):
    def __call__(self, view):
        return -view.teacher.logits.log_softmax(1).amax(1).mean()


class Disagreement(Stateless):
    def __call__(self, view):
        return -(view.teacher.logits - view.student.logits).abs().mean()


class Imitation(Stateless):
    def __init__(self):
        self.images = []
        self.targets = []

    def __call__(self, view):
        self.images.append(view.images.clone())
        self.targets.append(view.teacher.logits)
        assert not view.teacher.logits.requires_grad
        return (view.teacher.logits - view.student.logits).abs().mean()


class Sum(Stateless):
    def __call__(self, terms, weights):
        return sum(weights[name] * term for name, term in terms.items())


class First(Stateless):
    def __call__(self, signals):
        return signals[0]


class Memory(Stateless):
    nbytes = 0

    def __init__(self):
        self.batches = []
        self.followed = None
        self.learned = []

    def follow(self, generator):
        self.followed = generator

    def generator_learned(self, steps):
        self.learned = [*self.learned, steps]

    def observe(self, batch, target_of):
        self.batches.append(batch.images)

    def sample(self, count, target_of):
        return Batch(self.batches[0][:count]) if self.batches else None


class Mean(Stateless):
    def __call__(self, signals):
        return Signal(torch.stack([signal.logits for signal in signals]).mean(0))


def make_parts(*phases: Phase, image_losses=None, replay_size=0, **changes) -> LoopParts:
    torch.manual_seed(0)
    student = Toy()
    teacher = ToyTeacher().eval().requires_grad_(False)
    image_losses = {"confidence": (Confidence(), 1.0, frozenset())} if image_losses is None else image_losses
    fields = {
        "phases": tuple(PlannedPhase(name=f"p{i}", rounds=p.rounds or 3, phase=p) for i, p in enumerate(phases)),
        "batch_size": BATCH,
        "replay_size": replay_size,
        "teachers": (teacher,),
        "student": student,
        "student_stepper": build_optimizer(OptimizerOptions(lr=0.01), student.parameters(), 100),
        "generator": ToyGenerator(),
        "generator_learns": True,
        "losses": group_losses(image_losses),
        "loss_needs": {name: entry[2] for name, entry in image_losses.items()},
        "combiner": Sum(),
        "student_losses": group_losses({"imitation": (Imitation(), 1.0, frozenset({"student"}))}),
        "replay": Memory(),
        "aggregator": First(),
        "target_wants": frozenset(),
        "meter": Meter(),
        "device": torch.device("cpu"),
        "precision": "fp32",
    }
    parts = LoopParts(**{**fields, **changes})
    for teacher in parts.teachers:
        teacher.meter = parts.meter
    return parts


def run(parts: LoopParts) -> StandardLoop:
    loop = StandardLoop(parts)
    while not loop.done:
        loop.advance()
    return loop

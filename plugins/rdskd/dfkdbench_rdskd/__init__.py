"""RDSKD: a generator trained against the teacher alone, with exponentials for loss weights; then distilled from.

Han, Park, Wang, Liu. Robustness and Diversity Seeking Data-Free Knowledge Distillation. ICASSP 2021.
arXiv 2011.03749. Values follow the official code; what is ours says so in its `source`.
"""

from __future__ import annotations

from dfkdbench.descriptors import PUBLISHED, Component, Method, Preset, Tuning
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench_rdskd.options import ExponentialIncrementOptions, InterSampleDiversityOptions

API = 1

EPOCH = 120
"""Rounds that the official code calls an epoch."""

_PAPER = "Han et al., Robustness and Diversity Seeking Data-Free Knowledge Distillation, ICASSP 2021, arXiv 2011.03749"
_CODE = "official code"

RECIPE = Recipe(
    generator=PartChoice(name="conv", options={"latent": 100, "norm_eps": 0.8, "optimizer": {"lr": 1e-3}}),
    losses={
        "one_hot": LossChoice(),
        "class_entropy": LossChoice(options={"log_base": "e"}),
        "inter_sample_diversity": LossChoice(),
    },
    combiner=PartChoice(name="exponential_increment", options={"period": EPOCH, "phase": 1, "init": 0.0}),
    student_losses={"kl": LossChoice(options={"temperature": 10.0, "temperature_squared": True})},
    batch_size=512,
    student=OptimizerOptions(kind="adam", lr=2e-3),
    phases={
        "generator": Phase(rounds=20 * EPOCH, generator_steps=1, student_steps=0),
        "distil": Phase(generator_steps=0, student_steps=1, generator_mode="eval"),
    },
)
"""The official values for MNIST; the other data sets differ in `latent` and, CIFAR-10, in the student's schedule."""

_CIFAR = {"generator.latent": 1000, "student.schedule": "multistep", "student.milestones": (0.8,)}

_OWN = "this suite's own: "
_DIGITS = {
    "generator.channels": (64, 16, 16),
    "batch_size": 64,
    "phases.generator.rounds": 2 * EPOCH,
    "student.lr": 5e-3,
    "student.schedule": "cosine",
}
_QUICK = {"batch_size": 128, "phases.generator.rounds": 3 * EPOCH}
_SMOKE = {"batch_size": 64, "phases.generator.rounds": 20}

PRESETS = (
    *(
        Preset({"phases.distil.rounds": 1000 * EPOCH}, dataset=dataset, budget="paper", source=_CODE, tuning=PUBLISHED)
        for dataset in ("mnist", "svhn", "cifar10")
    ),
    Preset({"generator.latent": 1000}, dataset="svhn", source=_CODE, tuning=PUBLISHED),
    Preset(_CIFAR, dataset="cifar10", source=_CODE, tuning=PUBLISHED),
    Preset(_CIFAR, dataset="cifar100", source=f"{_OWN}as for CIFAR-10, the official code has no recipe"),
    Preset(_QUICK, budget="quick", source=f"{_OWN}three epochs of the generator, a quarter of the batch"),
    Preset(
        _DIGITS,
        dataset="digits",
        source=f"{_OWN}chosen by test accuracy on digits, seeds 10-12",
        tuning=Tuning("test accuracy", cells=("digits lenet_s:lenet_xs",), seeds=(10, 11, 12)),
    ),
    Preset(_SMOKE, budget="smoke", source=f"{_OWN}just enough to run everything"),
)

METHOD = Method(
    name="rdskd",
    summary="Generator first, its losses punished exponentially for rising; then the student, the generator frozen.",
    recipe=RECIPE,
    presets=PRESETS,
    paper=_PAPER,
    tuning=PUBLISHED,
)


@hookimpl
def dfkdbench_losses() -> tuple[Component, ...]:
    """The inter-sample diversity loss and the exponential combiner."""
    return (
        Component(
            kind="loss",
            role="image",
            name="inter_sample_diversity",
            target="dfkdbench_rdskd.inter_sample_diversity:InterSampleDiversityLoss",
            summary="Images of two half-batches apart, measured against the teacher's outputs on them.",
            options=InterSampleDiversityOptions,
            needs=frozenset({"soft_labels", "input_gradients"}),
            paper=_PAPER,
        ),
        Component(
            kind="combiner",
            name="exponential_increment",
            target="dfkdbench_rdskd.exponential_increment:ExponentialIncrementCombiner",
            summary="exp(loss - reference) for chosen losses, references refreshed now and then; a sum for the others.",
            options=ExponentialIncrementOptions,
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """RDSKD."""
    return (METHOD,)

"""FastDFKD: contrastive model inversion without the contrast, made quick by meta-learning the generator's start.

Fang, Mo, Wang, Song, Bei, Zhang, Song. Up to 100x Faster Data-free Knowledge Distillation. AAAI 2022. arXiv 2112.06253.
Values follow the official scripts; what is ours says so in its `source`.
"""

from __future__ import annotations

from dfkdbench.descriptors import PUBLISHED, Component, Method, Preset
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench_fast.options import BatchNormMomentumOptions, MetaOptions

API = 1

_PAPER = "Fang et al., Up to 100x Faster Data-free Knowledge Distillation, AAAI 2022, arXiv 2112.06253"
_STEPS = 10

RECIPE = Recipe(
    generator=PartChoice(name="meta", options={"lr": 2e-3, "latent_lr": 0.01, "meta_lr": 0.02}),
    losses={
        "batch_norm_momentum": LossChoice(weight=10.0, options={"momentum": 0.9}),
        "label": LossChoice(weight=0.4),
        "decision_adversarial": LossChoice(weight=1.1),
    },
    student_losses={"kl": LossChoice(options={"temperature": 20.0, "temperature_squared": True})},
    batch_size=256,
    student=OptimizerOptions(kind="sgd", lr=0.2, momentum=0.9, weight_decay=1e-4, schedule="cosine"),
    phases={
        "warm_up": Phase(
            rounds=19,
            generator_steps=_STEPS,
            student_steps=0,
            student_mode="eval",
            losses=("batch_norm_momentum", "label"),
        ),
        "warm_up_adversarial": Phase(rounds=1, generator_steps=_STEPS, student_steps=0, student_mode="eval"),
        "distil": Phase(generator_steps=_STEPS, student_steps=400, student_mode="eval"),
    },
)
"""The official script for the pairs of wide residual networks with ten steps a call."""

_OWN = "this suite's own: "
_SCRIPT = "official script"


def _steps(count: int) -> dict[str, int]:
    return {f"phases.{phase}.generator_steps": count for phase in ("warm_up", "warm_up_adversarial", "distil")}


_DIGITS = {
    "generator.channels": (32, 32, 16),
    "generator.latent": 64,
    "generator.batch_size": 128,
    "generator.augmentation": "none",
    "batch_size": 64,
    "phases.warm_up.rounds": 9,
    "phases.distil.student_steps": 32,
}
_SMOKE = {
    "batch_size": 64,
    "generator.batch_size": 64,
    "phases.warm_up.rounds": 2,
    "phases.distil.student_steps": 10,
    **_steps(3),
}

PRESETS = (
    Preset(
        {"losses.decision_adversarial.weight": 1.33, "losses.label.weight": 0.5},
        pair="resnet34:resnet18",
        source=_SCRIPT,
        tuning=PUBLISHED,
    ),
    Preset(
        {"losses.decision_adversarial.weight": 1.0, "losses.label.weight": 0.5},
        pair="vgg11:resnet18",
        source=_SCRIPT,
        tuning=PUBLISHED,
    ),
    *(
        Preset(
            {"phases.distil.rounds": 200, "generator.reset_call": 140},
            dataset=data,
            budget="paper",
            source=_SCRIPT,
            tuning=PUBLISHED,
        )
        for data in ("cifar10", "cifar100")
    ),
    *(
        Preset({"generator.augmentation": "crop"}, dataset=data, source=f"{_OWN}digits are not mirrored")
        for data in ("mnist", "kmnist", "usps", "svhn")
    ),
    Preset(_DIGITS, dataset="digits", source=f"{_OWN}small network, no mirroring, a run in minutes on two cores"),
    Preset(_SMOKE, budget="smoke", source=f"{_OWN}just enough to run everything"),
)

METHOD = Method(
    name="fast",
    summary="Inversion in a few steps a batch from meta-learned generator weights; the student learns from the pool.",
    recipe=RECIPE,
    presets=PRESETS,
    paper=_PAPER,
    aliases=("fastdfkd",),
    tuning=PUBLISHED,
)


@hookimpl
def dfkdbench_generators() -> tuple[Component, ...]:
    """The meta-learned generator."""
    return (
        Component(
            kind="generator",
            name="meta",
            target="dfkdbench_fast.meta:MetaGenerator",
            summary="Weights learned as a start from which few steps make a batch of good images; these go to a pool.",
            options=MetaOptions,
            provides=frozenset({"images_with_gradient", "labels"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_losses() -> tuple[Component, ...]:
    """The batch-norm loss with moving statistics."""
    return (
        Component(
            kind="loss",
            role="image",
            name="batch_norm_momentum",
            target="dfkdbench_fast.batch_norm_momentum:BatchNormMomentumLoss",
            summary="Distance of moving statistics of the images from the teacher's batch norms.",
            options=BatchNormMomentumOptions,
            needs=frozenset({"batch_norm", "input_gradients"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """FastDFKD."""
    return (METHOD,)

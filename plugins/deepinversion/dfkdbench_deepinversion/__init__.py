"""DeepInversion: noise optimised into images that fit the teacher's labels and batch norms; then distilled from.

Yin, Molchanov, Alvarez, Li, Mallya, Hoiem, Jha, Kautz. Dreaming to Distill: Data-free Knowledge Transfer via
DeepInversion. CVPR 2020. arXiv 1912.08795. The inversion follows the official code and its READMEs; that code trains no
student, so the student's values are from the authors' answers to issues where there are any. What is ours says so in
its `source`.
"""

from __future__ import annotations

from dfkdbench.descriptors import PUBLISHED, Component, Method, Preset, Tuning
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench_deepinversion.options import CompetitionOptions

API = 1

_PAPER = "Yin et al., Dreaming to Distill: Data-free Knowledge Transfer via DeepInversion, CVPR 2020, arXiv 1912.08795"
_INVERSION_LOSSES = ("label", "batch_norm", "total_variation", "l2_norm")

RECIPE = Recipe(
    generator=PartChoice(
        name="pixels", options={"optimizer": {"lr": 0.05, "betas": (0.9, 0.999)}, "jitter": 2, "capacity": 256_000}
    ),
    losses={
        "label": LossChoice(),
        "batch_norm": LossChoice(weight=10.0),
        "total_variation": LossChoice(weight=2.5e-5),
        "l2_norm": LossChoice(weight=0.0),
    },
    student_losses={"kl": LossChoice(options={"temperature": 3.0})},
    batch_size=256,
    student=OptimizerOptions(kind="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4, schedule="cosine"),
    phases={
        "invert": Phase(rounds=1000, generator_steps=2000, student_steps=0),
        "distil": Phase(generator_steps=0),
    },
)
"""Images: the CIFAR-10 README's "parameters of the paper". Student: temperature of issue 9, CMI authors' optimiser."""

ADAPTIVE_RECIPE = RECIPE.model_copy(
    update={
        "losses": {**RECIPE.losses, "competition": LossChoice(weight=0.2)},
        "phases": {
            "invert": RECIPE.phases["invert"].model_copy(update={"losses": _INVERSION_LOSSES}),
            "distil": Phase(generator_steps=2000, student_steps=50, order="student_first", student_mode="eval"),
        },
    }
)
"""The pool grows as the student learns: a batch every 50 of its steps (issue 6), on top of plain images (issue 20)."""

_IMAGENET = {
    "generator.batch_size": 84,
    "generator.optimizer": {"lr": 0.25, "betas": (0.5, 0.9), "schedule": "cosine", "warmup": 0.05},
    "generator.jitter": 30,
    "generator.flip": True,
    "generator.bounds": "clip",
    "generator.augmentation": "crop_flip",
    "generator.capacity": 20_000,
    "losses.batch_norm.weight": 0.01,
    "losses.batch_norm.first_layer_weight": 10.0,
    "losses.total_variation.weight": 1e-4,
    "losses.l2_norm.weight": 1e-5,
    "losses.l2_norm.over": "image",
    "student.schedule": "multistep",
    "student.milestones": (1 / 3, 2 / 3),
}

_DIGITS = {
    "generator.batch_size": 64,
    "generator.enlarge": 2,
    "generator.optimizer.lr": 2.0,
    "generator.optimizer.schedule": "cosine",
    "generator.jitter": 0,
    "generator.bounds": "clip",
    "generator.augmentation": "crop",
    "losses.batch_norm.weight": 0.3,
    "batch_size": 64,
    "student.kind": "adam",
    "student.lr": 5e-3,
    "student.weight_decay": 0.0,
    "phases.invert.rounds": 40,
    "phases.invert.generator_steps": 100,
}
_ADAPTIVE_DIGITS = {
    "phases.invert.rounds": 20,
    "phases.distil.generator_steps": 100,
    "phases.distil.student_steps": 160,
}
_ADAPTIVE_DIGITS_QUICK = {
    "phases.invert.rounds": 8,
    "phases.distil.generator_steps": 60,
    "phases.distil.student_steps": 80,
}
_SMOKE = {
    "generator.batch_size": 64,
    "batch_size": 64,
    "phases.invert.rounds": 2,
    "phases.invert.generator_steps": 10,
}
_OWN = "this suite's own: "
_FRAMEWORK = "the framework of the CMI authors, method deepinv"


def _of_steps(rounds: int, steps: int) -> dict[str, int]:
    return {"phases.invert.rounds": rounds, "phases.invert.generator_steps": steps}


_INVERSION_PRESETS = (
    Preset(
        _of_steps(97, 1000),
        budget="standard",
        source=f"{_FRAMEWORK}: 1000 steps; half of its 200 batches, which is what the tier's teacher queries pay for",
        tuning=PUBLISHED,
    ),
    Preset(_of_steps(19, 500), budget="quick", source=f"{_OWN}a fifth of the batches, half of the steps"),
    *(
        Preset({"generator.augmentation": "crop_flip"}, dataset=dataset, source=_FRAMEWORK, tuning=PUBLISHED)
        for dataset in ("cifar10", "cifar100")
    ),
    Preset(
        _IMAGENET,
        dataset="imagenet",
        source="README and code for ImageNet, setting 1, first batch norm times 10",
        tuning=PUBLISHED,
    ),
    Preset(
        _of_steps(1667, 2000),
        dataset="imagenet",
        budget="paper",
        source="140,000 images (issue 11), setting 1",
        tuning=PUBLISHED,
    ),
    Preset(
        _DIGITS,
        dataset="digits",
        source=f"{_OWN}chosen by test accuracy on digits, seed 10, and by other teachers' agreement with the labels",
        tuning=Tuning("test accuracy", cells=("digits resnet_s:resnet_xs",), seeds=(10,)),
    ),
    Preset(_of_steps(16, 60), dataset="digits", budget="quick", source=f"{_OWN}fewer and shorter ones"),
    Preset(_SMOKE, budget="smoke", source=f"{_OWN}just enough to run everything"),
)

METHOD = Method(
    name="deepinversion",
    summary="Noise optimised to labels and to the teacher's batch-norm statistics; the student learns from the pool.",
    recipe=RECIPE,
    presets=(
        *_INVERSION_PRESETS,
        Preset(
            {"phases.distil.rounds": 80_000},
            dataset="cifar10",
            budget="paper",
            source=f"images: issue 6; student steps: {_FRAMEWORK}, 200 epochs of 400",
            tuning=PUBLISHED,
        ),
        Preset(
            {"phases.distil.rounds": 49_219},
            dataset="imagenet",
            budget="paper",
            source="90 epochs over 140,000 images (issue 11), batch 256",
            tuning=PUBLISHED,
        ),
    ),
    paper=_PAPER,
)

ADAPTIVE_METHOD = Method(
    name="adaptive_deepinversion",
    summary="DeepInversion whose further images are also rewarded where student and teacher disagree.",
    recipe=ADAPTIVE_RECIPE,
    presets=(
        *_INVERSION_PRESETS,
        Preset(
            {"phases.invert.rounds": 40, "phases.distil.generator_steps": 1000, "phases.distil.student_steps": 700},
            budget="standard",
            source=f"{_FRAMEWORK}: 1000 steps a batch; as many batches as the tier's teacher queries pay for",
        ),
        Preset(
            {"phases.invert.rounds": 8, "phases.distil.generator_steps": 500, "phases.distil.student_steps": 360},
            budget="quick",
            source=f"{_OWN}a fifth of the batches, half of the steps",
        ),
        Preset(
            {"phases.distil.rounds": 1600},
            dataset="cifar10",
            budget="paper",
            source=f"images and order: issues 6 and 20; student steps: {_FRAMEWORK}, 80,000",
            tuning=PUBLISHED,
        ),
        Preset(_ADAPTIVE_DIGITS, dataset="digits", source=f"{_OWN}half of the batches while the student learns"),
        Preset(_ADAPTIVE_DIGITS_QUICK, dataset="digits", budget="quick", source=f"{_OWN}fewer of both"),
        Preset(
            {
                "phases.invert.rounds": 2,
                "phases.distil.generator_steps": 5,
                "phases.distil.student_steps": 10,
            },
            budget="smoke",
            source=f"{_OWN}just enough to run everything",
        ),
    ),
    paper=_PAPER,
    aliases=("adi",),
)


@hookimpl
def dfkdbench_losses() -> tuple[Component, ...]:
    """The competition of Adaptive DeepInversion."""
    return (
        Component(
            kind="loss",
            role="image",
            name="competition",
            target="dfkdbench_deepinversion.competition:CompetitionLoss",
            summary="Reward for disagreement of student and teacher: one minus their Jensen-Shannon divergence.",
            options=CompetitionOptions,
            needs=frozenset({"student", "soft_labels", "input_gradients"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """DeepInversion and Adaptive DeepInversion."""
    return (METHOD, ADAPTIVE_METHOD)

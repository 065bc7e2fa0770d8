"""DFAD: a generator that seeks images on which teacher and student disagree; the student learns to agree there.

Fang, Song, Shen, Wang, Chen, Song. Data-Free Adversarial Distillation. 2019. arXiv 1912.11006.
Values follow the official code and its README; what is ours says so in its `source`.
"""

from __future__ import annotations

from dfkdbench.descriptors import PUBLISHED, Method, Preset
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe

API = 1

EPOCH = 50
"""Rounds that the official code calls an epoch: five student steps and one generator step each."""

RECIPE = Recipe(
    generator=PartChoice(name="conv", options={"latent": 256, "optimizer": {"lr": 1e-3}}),
    losses={"adversarial_l1": LossChoice(options={"form": "plain"})},
    student_losses={"l1": LossChoice()},
    batch_size=256,
    student=OptimizerOptions(kind="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4),
    phases={"distil": Phase(generator_steps=1, student_steps=5, order="student_first")},
)
"""The official values for CIFAR, without their schedule."""

_GREY = {
    "generator.latent": 100,
    "batch_size": 512,
    "student.lr": 0.01,
    "student.weight_decay": 1e-4,
}


def _decays(*milestones: float) -> dict[str, object]:
    """Both learning rates times 0.1 at fractions of the run."""
    return {
        "student.schedule": "multistep",
        "student.milestones": milestones,
        "generator.optimizer.schedule": "multistep",
        "generator.optimizer.milestones": milestones,
    }


_CALTECH = {
    "generator.channels": (512, 256, 128, 64, 64),
    "generator.output_norm": "none",
    "batch_size": 64,
    "student.lr": 0.05,
    **_decays(1 / 3, 2 / 3),
}

_CODE = "official code"
_OWN = "this suite's own: "
_GREY_SETS = ("fashion_mnist", "kmnist", "usps")

_DIGITS = {
    "generator.latent": 100,
    "generator.channels": (32, 32, 16),
    "batch_size": 64,
    "student.lr": 0.01,
    "student.weight_decay": 1e-4,
}

PRESETS = (
    Preset(_GREY, dataset="mnist", source=_CODE, tuning=PUBLISHED),
    *(Preset(_GREY, dataset=name, source=f"{_OWN}as for MNIST") for name in _GREY_SETS),
    *(
        Preset(_decays(0.2, 0.4), dataset=name, source=f"{_CODE}, --scheduler", tuning=PUBLISHED)
        for name in ("cifar10", "cifar100")
    ),
    Preset(_decays(0.2, 0.4), dataset="svhn", source=f"{_OWN}as for CIFAR"),
    Preset(
        _CALTECH,
        dataset="caltech101",
        source=f"{_CODE} and README; nearest upsampling for its transposed ones",
        tuning=PUBLISHED,
    ),
    Preset({"phases.distil.rounds": 40 * EPOCH}, dataset="mnist", budget="paper", source=_CODE, tuning=PUBLISHED),
    *(
        Preset({"phases.distil.rounds": 500 * EPOCH}, dataset=name, budget="paper", source=_CODE, tuning=PUBLISHED)
        for name in ("cifar10", "cifar100")
    ),
    Preset({"phases.distil.rounds": 300 * EPOCH}, dataset="caltech101", budget="paper", source=_CODE, tuning=PUBLISHED),
    Preset({"batch_size": 64}, budget="quick", source=f"{_OWN}more rounds for the same student samples"),
    Preset(_DIGITS, dataset="digits", source=f"{_OWN}as for MNIST, with a small generator and batch"),
    Preset({"batch_size": 64}, budget="smoke", source=f"{_OWN}just enough to run everything"),
)

METHOD = Method(
    name="dfad",
    summary="Generator seeks images on which student and teacher logits differ; five student steps to each of its own.",
    recipe=RECIPE,
    presets=PRESETS,
    paper="Fang et al., Data-Free Adversarial Distillation, 2019, arXiv 1912.11006",
    tuning=PUBLISHED,
)


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """DFAD."""
    return (METHOD,)

"""DAFL: a generator that makes a frozen teacher confident, active and balanced, distilled from as it learns.

Chen, Wang, Xu, Yang, Liu, Shi, Xu, Xu, Tian. Data-Free Learning of Student Networks. ICCV 2019. arXiv 1904.01186.
Weights and optimisers follow the command lines of the official README; what is ours says so in its `source`.
"""

from __future__ import annotations

from dfkdbench.descriptors import PUBLISHED, Method, Preset, Tuning
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe

API = 1

EPOCH = 120
"""Rounds that the official code calls an epoch."""

RECIPE = Recipe(
    generator=PartChoice(name="conv", options={"latent": 100, "norm_eps": 0.8, "optimizer": {"lr": 0.2}}),
    losses={
        "one_hot": LossChoice(weight=1.0),
        "class_entropy": LossChoice(weight=5.0, options={"log_base": 10}),
        "activation": LossChoice(weight=0.1),
    },
    combiner=PartChoice(name="sum"),
    student_losses={"kl": LossChoice(options={"temperature": 1.0})},
    batch_size=512,
    student=OptimizerOptions(kind="adam", lr=2e-3),
    phases={"distil": Phase(student_images="shared")},
)
"""The official defaults, which are those for MNIST."""

_CIFAR = {
    "generator.latent": 1000,
    "generator.optimizer.lr": 0.02,
    "batch_size": 1024,
    "student.kind": "sgd",
    "student.lr": 0.1,
    "student.momentum": 0.9,
    "student.weight_decay": 5e-4,
    "student.schedule": "multistep",
    "student.milestones": (0.4, 0.8),
}
_CIFAR10 = {
    **_CIFAR,
    "losses.one_hot.weight": 0.05,
    "losses.class_entropy.weight": 5.0,
    "losses.activation.weight": 0.01,
}
_CIFAR100 = {
    **_CIFAR,
    "losses.one_hot.weight": 0.5,
    "losses.class_entropy.weight": 20.0,
    "losses.activation.weight": 0.1,
}

_README = "command lines of the official README"
_OWN = "this suite's own: "

_DIGITS = {
    "generator.channels": (32, 16, 16),
    "generator.optimizer.lr": 1e-4,
    "batch_size": 64,
    "student.lr": 5e-3,
    "student.schedule": "cosine",
}

PRESETS = (
    Preset(
        {"phases.distil.rounds": 200 * EPOCH},
        dataset="mnist",
        budget="paper",
        source="official default: 200 epochs of 120 iterations",
        tuning=PUBLISHED,
    ),
    Preset(_CIFAR10, dataset="cifar10", source=_README, tuning=PUBLISHED),
    Preset(_CIFAR100, dataset="cifar100", source=_README, tuning=PUBLISHED),
    Preset({"phases.distil.rounds": 2000 * EPOCH}, dataset="cifar10", budget="paper", source=_README, tuning=PUBLISHED),
    Preset(
        {"phases.distil.rounds": 2000 * EPOCH}, dataset="cifar100", budget="paper", source=_README, tuning=PUBLISHED
    ),
    Preset({"batch_size": 128}, budget="quick", source=f"{_OWN}more steps for the same student samples"),
    Preset(
        _DIGITS,
        dataset="digits",
        source=f"{_OWN}chosen by test accuracy on digits, seeds 10-12",
        tuning=Tuning("test accuracy", cells=("digits lenet_s:lenet_xs",), seeds=(10, 11, 12)),
    ),
    Preset({"batch_size": 64}, budget="smoke", source=f"{_OWN}just enough to run everything"),
)

METHOD = Method(
    name="dafl",
    summary="Generator trained for confident, active and class-balanced teacher outputs; the student learns alongside.",
    recipe=RECIPE,
    presets=PRESETS,
    paper="Chen et al., Data-Free Learning of Student Networks, ICCV 2019, arXiv 1904.01186",
    tuning=PUBLISHED,
)


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """DAFL."""
    return (METHOD,)

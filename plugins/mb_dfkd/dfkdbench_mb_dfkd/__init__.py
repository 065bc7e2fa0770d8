"""MB-DFKD: adversarial distillation rehearsed with a bank of stored images.

Binici, Pham, Mitra, Leman. Preventing Catastrophic Forgetting and Distribution Mismatch in Knowledge Distillation via
Synthetic Data. WACV 2022. arXiv 2108.05698. No official code is known: values follow the re-implementation by Patel et
al. (CVPR 2023), what is ours says so in its `source`.
"""

from __future__ import annotations

from dfkdbench.descriptors import PUBLISHED, Component, Method, Preset, Tuning
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench_mb_dfkd.options import BankOptions

API = 1

_PAPER = "Binici et al., Preventing Catastrophic Forgetting and Distribution Mismatch, WACV 2022, arXiv 2108.05698"

RECIPE = Recipe(
    generator=PartChoice(
        name="conv", options={"latent": 1000, "norm_eps": 0.8, "spectral_norm": True, "optimizer": {"lr": 0.02}}
    ),
    losses={
        "one_hot": LossChoice(weight=1.0),
        "class_entropy": LossChoice(weight=5.0, options={"log_base": 10}),
        "activation": LossChoice(weight=0.1),
        "js_disagreement": LossChoice(weight=1.0),
    },
    student_losses={"l1": LossChoice()},
    replay=PartChoice(name="bank"),
    replay_fraction=0.125,
    batch_size=1024,
    student=OptimizerOptions(kind="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4, schedule="cosine"),
    phases={"distil": Phase(generator_steps=1, student_steps=10)},
)
"""The recipe for CIFAR-100."""

_OWN = "this suite's own: "
_SMALL_CELLS = {"student.kind": "adam", "student.lr": 2e-3, "student.weight_decay": 0.0}
_DIGITS = {
    "generator.latent": 100,
    "generator.channels": (32, 16, 16),
    "generator.optimizer.lr": 5e-3,
    "batch_size": 64,
    "student.lr": 5e-3,
    "phases.distil.student_steps": 5,
}

PRESETS = (
    Preset(
        {"phases.distil.rounds": 400 * 36},
        dataset="cifar100",
        budget="paper",
        source="re-implementation by Patel et al.: 400 epochs of 36 rounds",
        tuning=PUBLISHED,
    ),
    *(
        Preset(_SMALL_CELLS, dataset=dataset, source=f"{_OWN}Adam for LeNets")
        for dataset in ("mnist", "fashion_mnist", "kmnist", "usps", "digits")
    ),
    Preset({"batch_size": 128}, budget="quick", source=f"{_OWN}more steps for the same student samples"),
    Preset(
        _DIGITS,
        dataset="digits",
        source=f"{_OWN}small networks for small images, tried on seed 10 alone",
        tuning=Tuning("test accuracy", cells=("digits lenet_s:lenet_xs",), seeds=(10,)),
    ),
    Preset({"batch_size": 64}, budget="smoke", source=f"{_OWN}just enough to run everything"),
)

METHOD = Method(
    name="mb_dfkd",
    summary="Confident, balanced and disputed images; the student rehearses images stored in a bank.",
    recipe=RECIPE,
    presets=PRESETS,
    paper=_PAPER,
    tuning=PUBLISHED,
)


@hookimpl
def dfkdbench_replays() -> tuple[Component, ...]:
    """The bank."""
    return (
        Component(
            kind="replay",
            name="bank",
            target="dfkdbench_mb_dfkd.bank:BankReplay",
            summary="Stored images: a ring of pushes, first in first out, or a reservoir of the whole stream.",
            options=BankOptions,
            provides=frozenset({"labels"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """MB-DFKD."""
    return (METHOD,)

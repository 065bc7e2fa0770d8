"""MAD (reconstructed): adversarial distillation rehearsed by a momentum copy of the generator.

Do, Le, Nguyen, Nguyen, Harikumar, Tran, Rana, Venkatesh. Momentum Adversarial Distillation: Handling Large
Distribution Shifts in Data-Free Knowledge Distillation. NeurIPS 2022. arXiv 2209.10359. There is no official code:
what the paper was not seen to fix is ours, and its `source` says so.
"""

from __future__ import annotations

from dfkdbench.descriptors import Component, Method, Preset, Tuning
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench_mad.options import BoundedKLOptions, EmaOptions

API = 1

_PAPER = "Do et al., Momentum Adversarial Distillation, NeurIPS 2022, arXiv 2209.10359"

RECIPE = Recipe(
    generator=PartChoice(name="conv", options={"latent": 256, "norm_eps": 0.8, "optimizer": {"lr": 1e-3}}),
    losses={"bounded_kl": LossChoice()},
    student_losses={"kl": LossChoice(weight=2.0)},
    replay=PartChoice(name="ema", options={"alpha": 0.95}),
    replay_fraction=1.0,
    batch_size=256,
    student=OptimizerOptions(
        kind="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4, schedule="multistep", milestones=(0.5, 0.75)
    ),
    phases={"distil": Phase(generator_steps=1, student_steps=10)},
)
"""As many images of the copy as of the generator; the mean over both, doubled, is the sum of the two losses."""

_OWN = "this suite's own: "
_BATCH_NORM = {"losses.batch_norm.weight": 1.0}
_SMALL_CELLS = {"student.kind": "adam", "student.lr": 2e-3, "student.weight_decay": 0.0, "student.schedule": "cosine"}
_DIGITS = {
    "generator.latent": 100,
    "generator.channels": (32, 16, 16),
    "batch_size": 64,
    "replay_fraction": 0.5,
    "student_losses.kl.weight": 1.0,
    "student.lr": 5e-3,
    "phases.distil.student_steps": 5,
}

PRESETS = (
    *(
        Preset(_BATCH_NORM, dataset=dataset, source=f"{_OWN}weight of the prior that Shao et al. tick for MAD")
        for dataset in ("cifar10", "cifar100", "tiny_imagenet", "imagenet")
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
    Preset(
        _BATCH_NORM,
        dataset="digits",
        pair="resnet_s:resnet_xs",
        source=f"{_OWN}weight of the prior that Shao et al. tick for MAD",
    ),
    Preset({"batch_size": 64}, budget="smoke", source=f"{_OWN}just enough to run everything"),
)

METHOD = Method(
    name="mad",
    summary="MAD (reconstructed): disputed images; the student rehearses images of a momentum copy of the generator.",
    recipe=RECIPE,
    presets=PRESETS,
    paper=_PAPER,
)


@hookimpl
def dfkdbench_losses() -> tuple[Component, ...]:
    """The bounded adversarial loss."""
    return (
        Component(
            kind="loss",
            role="image",
            name="bounded_kl",
            target="dfkdbench_mad.bounded_kl:BoundedKLLoss",
            summary="Disagreement up to a bound: minus KL(teacher || student), clipped per image.",
            options=BoundedKLOptions,
            needs=frozenset({"soft_labels", "input_gradients", "student"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_replays() -> tuple[Component, ...]:
    """The momentum copy of the generator."""
    return (
        Component(
            kind="replay",
            name="ema",
            target="dfkdbench_mad.ema:EmaReplay",
            summary="Images of an exponential moving average of the generator's network.",
            options=EmaOptions,
            needs=frozenset({"network"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """MAD."""
    return (METHOD,)

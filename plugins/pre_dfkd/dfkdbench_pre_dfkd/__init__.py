"""PRE-DFKD: adversarial distillation rehearsed by a variational auto-encoder that stores no image.

Binici, Aggarwal, Pham, Leman, Mitra. Robust and Resource-Efficient Data-Free Knowledge Distillation by Generative
Pseudo Replay. AAAI 2022. arXiv 2201.03019. Values follow the official code; what is ours says so in its `source`.
"""

from __future__ import annotations

from dfkdbench.descriptors import PUBLISHED, Component, Method, Preset, Tuning
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench_pre_dfkd.options import VaeOptions

API = 1

_PAPER = "Binici et al., Robust and Resource-Efficient Data-Free Knowledge Distillation, AAAI 2022, arXiv 2201.03019"

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
    replay=PartChoice(name="vae"),
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
        source="official code: 400 epochs of 36 rounds",
        tuning=PUBLISHED,
    ),
    *(
        Preset(
            _SMALL_CELLS,
            dataset=dataset,
            source=f"{_OWN}Adam for LeNets as in the official code, which leaves the rate open",
        )
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
    name="pre_dfkd",
    summary="Confident, balanced and disputed images; the student rehearses images of a VAE.",
    recipe=RECIPE,
    presets=PRESETS,
    paper=_PAPER,
    tuning=PUBLISHED,
)


@hookimpl
def dfkdbench_replays() -> tuple[Component, ...]:
    """The VAE memory."""
    return (
        Component(
            kind="replay",
            name="vae",
            target="dfkdbench_pre_dfkd.vae:VaeReplay",
            summary="A variational auto-encoder trained on the stream, latents tuned by the teacher; stores no image.",
            options=VaeOptions,
            needs=frozenset({"soft_labels", "input_gradients"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """PRE-DFKD."""
    return (METHOD,)

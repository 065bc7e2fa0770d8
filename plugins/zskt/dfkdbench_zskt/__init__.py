"""ZSKT: a generator that seeks images on which teacher and student disagree; the student matches beliefs and attention.

Micaelli, Storkey. Zero-shot Knowledge Transfer via Adversarial Belief Matching. NeurIPS 2019. arXiv 1905.09768.
Values follow the official code and its scripts; what is ours says so in its `source`.
"""

from __future__ import annotations

from dfkdbench.descriptors import PUBLISHED, Component, Method, Preset, Tuning
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench_zskt.options import AttentionTransferOptions

API = 1

_PAPER = (
    "Micaelli and Storkey, Zero-shot Knowledge Transfer via Adversarial Belief Matching, NeurIPS 2019, arXiv 1905.09768"
)

RECIPE = Recipe(
    generator=PartChoice(
        name="conv",
        options={
            "latent": 100,
            "output_activation": "none",
            "output_norm": "batch_norm",
            "optimizer": {"lr": 1e-3, "schedule": "cosine", "clip_norm": 5.0},
        },
    ),
    losses={"adversarial_kl": LossChoice(options={"temperature": 1.0, "reduction": "mean"})},
    student_losses={
        "kl": LossChoice(options={"temperature": 1.0, "temperature_squared": False, "reduction": "mean"}),
        "attention_transfer": LossChoice(weight=250.0, options={"reduction": "mean"}),
    },
    batch_size=128,
    student=OptimizerOptions(kind="adam", lr=2e-3, schedule="cosine", clip_norm=5.0),
    phases={"distil": Phase(generator_steps=1, student_steps=10, student_images="remade")},
)
"""The values of the released scripts."""

_CODE = "official code and scripts"
_OWN = "this suite's own: "
_NO_ATTENTION = {"student_losses.attention_transfer.weight": 0.0}
_ONE_FAMILY = "the stages of teacher and student have different sizes"
_GREY_SETS = ("mnist", "fashion_mnist", "kmnist", "usps")

_DIGITS = {
    "generator.channels": (32, 32, 16),
    "batch_size": 64,
    "student.lr": 5e-3,
    "phases.distil.student_steps": 5,
}
_QUICK = {"batch_size": 64, "phases.distil.student_steps": 5}

PRESETS = (
    Preset(
        {"phases.distil.rounds": 80_000}, dataset="cifar10", budget="paper", source=f"paper, {_CODE}", tuning=PUBLISHED
    ),
    Preset({"phases.distil.rounds": 50_000}, dataset="svhn", budget="paper", source="paper", tuning=PUBLISHED),
    Preset(_NO_ATTENTION, pair="vgg11:resnet18", source=f"{_OWN}{_ONE_FAMILY}"),
    *(
        Preset(_QUICK, dataset=name, budget="quick", source=f"{_OWN}more rounds for the same student samples")
        for name in _GREY_SETS
    ),
    Preset(
        _DIGITS,
        dataset="digits",
        source=f"{_OWN}chosen by test accuracy on digits, seed 10",
        tuning=Tuning("test accuracy", cells=("digits lenet_s:lenet_xs",), seeds=(10,)),
    ),
    Preset({"batch_size": 64}, budget="smoke", source=f"{_OWN}just enough to run everything"),
)

METHOD = Method(
    name="zskt",
    summary="Generator seeks a large KL(teacher || student); the student lowers it on the same latents, with attention "
    "transfer. Also called as mskd, RDSKD's baseline: identification probable, not confirmed.",
    recipe=RECIPE,
    presets=PRESETS,
    paper=_PAPER,
    aliases=("mskd",),
    tuning=PUBLISHED,
)


@hookimpl
def dfkdbench_losses() -> tuple[Component, ...]:
    """Attention transfer."""
    return (
        Component(
            kind="loss",
            role="student",
            name="attention_transfer",
            target="dfkdbench_zskt.attention_transfer:AttentionTransferLoss",
            summary="Squared distance between the normalised attention maps of the stages.",
            options=AttentionTransferOptions,
            needs=frozenset({"stages", "student_stages"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """ZSKT, which answers to MSKD as well."""
    return (METHOD,)

"""DFQ: adversarial distillation with a generator held to the teacher's batch statistics and to balanced, sure outputs.

Choi, Choi, El-Khamy, Lee. Data-Free Network Quantization With Adversarial Knowledge Distillation. CVPR Workshops 2020.
arXiv 2005.04136. No official code is known: values follow the re-implementation of da2so, and what is ours says so.
"""

from __future__ import annotations

from dfkdbench.descriptors import PUBLISHED, Component, Method, Preset, Tuning
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench_dfq.options import GaussianBatchNormOptions

API = 1

EPOCH = 400
"""Rounds that the re-implementation calls an epoch."""

REGULARISERS = ("gaussian_batch_norm", "sample_entropy", "class_entropy")
"""The losses of the warm-up, which the student has no part in."""

ALPHA = 0.01
"""Weight of the regularisers."""

_PAPER = (
    "Choi et al., Data-Free Network Quantization With Adversarial Knowledge Distillation, CVPR Workshops 2020, "
    "arXiv 2005.04136"
)

RECIPE = Recipe(
    generator=PartChoice(
        name="conv",
        options={
            "latent": 512,
            "channels": (512, 256, 128, 64),
            "stem_norm": False,
            "slope": 0.0,
            "optimizer": {"lr": 1e-3, "betas": (0.5, 0.999), "schedule": "cosine"},
        },
    ),
    losses={
        "adversarial_kl": LossChoice(options={"temperature": 1.0, "reduction": "batchmean"}),
        "gaussian_batch_norm": LossChoice(weight=ALPHA),
        "sample_entropy": LossChoice(weight=ALPHA),
        "class_entropy": LossChoice(weight=ALPHA, options={"log_base": "e"}),
    },
    student_losses={"kl": LossChoice(options={"temperature": 1.0})},
    batch_size=256,
    student=OptimizerOptions(kind="sgd", lr=0.1, momentum=0.9, nesterov=True, schedule="cosine"),
    phases={
        "warm_up": Phase(rounds=50 * EPOCH, generator_steps=1, student_steps=0, losses=REGULARISERS),
        "distil": Phase(generator_steps=1, student_steps=10, generator_mode="eval", student_mode="eval"),
    },
)
"""da2so's values for CIFAR."""

_CODE = "da2so's re-implementation"
_OWN = "this suite's own: "
_DIGITS = {
    "generator.latent": 100,
    "generator.channels": (32, 32, 16),
    "batch_size": 64,
    "student.kind": "adam",
    "student.lr": 5e-3,
    **{f"losses.{name}.weight": 1.0 for name in REGULARISERS},
    "phases.warm_up.rounds": 400,
    "phases.distil.student_steps": 2,
}

PRESETS = (
    *(
        Preset({"phases.distil.rounds": 200 * EPOCH}, dataset=dataset, budget="paper", source=_CODE, tuning=PUBLISHED)
        for dataset in ("cifar10", "cifar100")
    ),
    Preset(
        {"phases.warm_up.rounds": 1000},
        budget="standard",
        source=f"{_OWN}a quarter of the generator steps that follow on 32x32 colour images, as in {_CODE}",
    ),
    Preset(
        {"phases.warm_up.rounds": 200, "batch_size": 64},
        budget="quick",
        source=f"{_OWN}a shorter warm-up, and more rounds for the same student samples",
    ),
    Preset(
        {"generator.channels": (256, 128, 64)}, dataset="mini_imagenet", source=f"{_OWN}84 pixels are no multiple of 8"
    ),
    Preset(
        _DIGITS,
        dataset="digits",
        source=f"{_OWN}chosen by test accuracy on digits, seed 10",
        tuning=Tuning("test accuracy", cells=("digits resnet_s:resnet_xs",), seeds=(10,)),
    ),
    Preset({"phases.warm_up.rounds": 100}, dataset="digits", budget="quick", source=f"{_OWN}a shorter warm-up"),
    Preset({"phases.warm_up.rounds": 5, "batch_size": 64}, budget="smoke", source=f"{_OWN}just enough to run all"),
)

METHOD = Method(
    name="dfq",
    summary="Adversarial KL with a generator held to Gaussian fits of the batch norms and to balanced, sure outputs, "
    "after a warm-up on these alone.",
    recipe=RECIPE,
    presets=PRESETS,
    paper=_PAPER,
    tuning=PUBLISHED,
)


@hookimpl
def dfkdbench_losses() -> tuple[Component, ...]:
    """The Gaussian divergence of batch statistics."""
    return (
        Component(
            kind="loss",
            role="image",
            name="gaussian_batch_norm",
            target="dfkdbench_dfq.gaussian_batch_norm:GaussianBatchNormLoss",
            summary="KL between Gaussian fits of the inputs of the teacher's batch norms and their running statistics.",
            options=GaussianBatchNormOptions,
            needs=frozenset({"batch_norm", "input_gradients"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """DFQ."""
    return (METHOD,)

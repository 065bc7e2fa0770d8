"""The three methods as data. Values follow the official codes; what is ours says so in its `source`."""

from __future__ import annotations

from dfkdbench.descriptors import PUBLISHED, UNTUNED, Method, Preset, Tuning
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench_cdfkd_mfs.components import ICME, TMM

_CODE = "official code"
_README = "command line of the official README"
_OWN = "this suite's own: "
_GAME = Phase(order="student_first", student_steps=5)

_SGD = OptimizerOptions(
    kind="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4, schedule="multistep", milestones=(1 / 3, 2 / 3)
)

MFS_RECIPE = Recipe(
    generator=PartChoice(
        name="conv",
        options={
            "latent": 256,
            "norm_eps": 0.8,
            "optimizer": {"lr": 1e-3, "schedule": "multistep", "milestones": (1 / 3, 2 / 3)},
        },
    ),
    losses={
        "adversarial_heads_l1": LossChoice(),
        "batch_norm": LossChoice(weight=0.1, options={"first_layer_weight": 5.0}),
    },
    student_losses={
        "heads_l1": LossChoice(),
        "head_features_l1": LossChoice(weight=0.2),
        "l1": LossChoice(weight=5.0),
    },
    aggregator=PartChoice(name="mean"),
    batch_size=256,
    student=_SGD,
    phases={"distil": _GAME},
)
"""CIFAR-100, ResNet-34 to mh3_resnet18. `l1` is the ensemble's: mean of the heads against the mean of the teachers."""

CDFKD_RECIPE = Recipe(
    generator=PartChoice(name="conv", options={"latent": 100, "norm_eps": 0.8, "optimizer": {"lr": 0.2}}),
    losses={
        "each_one_hot": LossChoice(),
        "each_class_entropy": LossChoice(weight=5.0, options={"log_base": 10}),
        "each_activation": LossChoice(weight=0.1),
    },
    student_losses={"heads_kl": LossChoice(), "kl": LossChoice()},
    aggregator=PartChoice(name="mean"),
    batch_size=512,
    student=OptimizerOptions(kind="adam", lr=2e-3),
    phases={"distil": Phase(student_images="shared")},
)
"""MNIST, as in the code of the ICME paper. `kl` is the ensemble's."""

SYMMETRIC_RECIPE = MFS_RECIPE.model_copy(
    update={
        "generator": PartChoice(
            name="conv", options={"latent": 256, "norm_eps": 0.8, "optimizer": {"lr": 1e-3, "schedule": "constant"}}
        ),
        "losses": {
            "adversarial_heads_kl": LossChoice(),
            "adversarial_kl": LossChoice(),
            "batch_norm": LossChoice(weight=0.1, options={"first_layer_weight": 5.0}),
        },
        "student_losses": {"heads_kl": LossChoice(), "kl": LossChoice()},
    }
)
"""What the code of CDFKD-MFS compares with under the name CDFKD."""

_DIGITS_GENERATOR = {"generator.channels": (32, 16, 16), "batch_size": 64}
_DIGITS_GAME = {
    **_DIGITS_GENERATOR,
    "batch_size": 96,
    "generator.latent": 64,
    "student.kind": "adam",
    "student.lr": 5e-3,
    "student.weight_decay": 0.0,
    "student.schedule": "cosine",
    "student.milestones": (),
}
_NO_FEATURES = {"student_losses.head_features_l1.weight": 0.0}
_MINI_IMAGENET = {
    "batch_size": 64,
    "generator.optimizer.milestones": (0.3, 0.6, 0.9),
    "student.milestones": (0.3, 0.6, 0.9),
}
_MFS_MINI_IMAGENET = {
    **_MINI_IMAGENET,
    "student_losses.head_features_l1.weight": 0.05,
    "student_losses.l1.weight": 1.0,
}
_SMOKE = Preset({"batch_size": 64}, budget="smoke", source=f"{_OWN}just enough to run everything")


def _rounds(dataset: str, rounds: int) -> Preset:
    return Preset({"phases.distil.rounds": rounds}, dataset=dataset, budget="paper", source=_CODE, tuning=PUBLISHED)


def _unlike_features(*pairs: str, source: str, tuning: Tuning) -> tuple[Preset, ...]:
    return tuple(Preset(_NO_FEATURES, pair=pair, source=source, tuning=tuning) for pair in pairs)


MFS = Method(
    name="cdfkd_mfs",
    summary="Several teachers, one student with a head for each that sees all levels; an asymmetric adversarial game.",
    recipe=MFS_RECIPE,
    presets=(
        _rounds("cifar100", 300 * 50),
        _rounds("caltech101", 300 * 50),
        _rounds("mini_imagenet", 100 * 750),
        Preset({"batch_size": 64}, dataset="caltech101", source=_CODE, tuning=PUBLISHED),
        Preset(_MFS_MINI_IMAGENET, dataset="mini_imagenet", source=_CODE, tuning=PUBLISHED),
        *_unlike_features(
            "wrn_40_2:mh3_wrn_16_1",
            "wrn_40_2:mh3_resnet18",
            "resnet18:mh3_wrn_40_2",
            source=f"{_CODE}: feature vectors of different lengths",
            tuning=PUBLISHED,
        ),
        *_unlike_features(
            "resnet_s:mh3_resnet_xs",
            "resnet_s:mh2_resnet_xs",
            "resnet_s:mh3_resnet_xs_last",
            source=f"{_OWN}feature vectors of different lengths",
            tuning=UNTUNED,
        ),
        Preset(_DIGITS_GAME, dataset="digits", source=f"{_OWN}sizes of the small cell, untuned", tuning=UNTUNED),
        _SMOKE,
    ),
    paper=TMM,
    tuning=PUBLISHED,
)

_CDFKD_CIFAR10 = {
    "generator.latent": 1000,
    "generator.optimizer.lr": 1e-3,
    "losses.each_one_hot.weight": 0.05,
    "losses.each_activation.weight": 0.01,
    "batch_size": 1024,
    "student.kind": "sgd",
    "student.lr": 0.1,
    "student.momentum": 0.9,
    "student.weight_decay": 5e-4,
    "student.schedule": "multistep",
    "student.milestones": (0.5, 0.75),
}
_ITERATIONS = {"mnist": 200 * 120, "cifar10": 800 * 120}


def _early_milestones(dataset: str) -> Preset:
    """The official schedule: milestones of 400 and 600, counted in iterations."""
    total = _ITERATIONS[dataset]
    values = {
        "phases.distil.rounds": total,
        "student.schedule": "multistep",
        "student.milestones": (400 / total, 600 / total),
    }
    return Preset(
        values, dataset=dataset, budget="paper", source=f"{_CODE}: milestones counted in iterations", tuning=PUBLISHED
    )


CDFKD = Method(
    name="cdfkd",
    summary="Several teachers, one student with a head for each; a generator that makes each teacher sure (ICME 2021).",
    recipe=CDFKD_RECIPE,
    presets=(
        Preset(
            _CDFKD_CIFAR10,
            dataset="cifar10",
            source=f"{_README}; milestones 400 and 600 of 800 epochs as meant",
            tuning=PUBLISHED,
        ),
        _early_milestones("mnist"),
        _early_milestones("cifar10"),
        Preset({"batch_size": 128}, budget="quick", source=f"{_OWN}more steps for the same student samples"),
        Preset(
            {
                **_DIGITS_GENERATOR,
                "generator.optimizer.lr": 1e-4,
                "student.lr": 5e-3,
                "student.schedule": "cosine",
            },
            dataset="digits",
            source=f"{_OWN}sizes of the small cell, untuned",
            tuning=UNTUNED,
        ),
        _SMOKE,
    ),
    paper=ICME,
    tuning=PUBLISHED,
)

CDFKD_TMM = Method(
    name="cdfkd_tmm",
    summary="CDFKD as the code of CDFKD-MFS re-implements it: a symmetric adversarial game in KL, five student steps.",
    recipe=SYMMETRIC_RECIPE,
    presets=(
        _rounds("cifar100", 300 * 50),
        _rounds("caltech101", 300 * 50),
        _rounds("mini_imagenet", 100 * 750),
        Preset({"batch_size": 64}, dataset="caltech101", source=_CODE, tuning=PUBLISHED),
        Preset(
            {"batch_size": 64, "student.milestones": (0.3, 0.6, 0.9)},
            dataset="mini_imagenet",
            source=_CODE,
            tuning=PUBLISHED,
        ),
        Preset(_DIGITS_GAME, dataset="digits", source=f"{_OWN}sizes of the small cell, untuned", tuning=UNTUNED),
        _SMOKE,
    ),
    paper=f"{TMM}, its CDFKD baseline",
    tuning=PUBLISHED,
)

METHODS = (MFS, CDFKD, CDFKD_TMM)

"""Controls: the rows that say what a method's number is worth. They run by the same loop as every method."""

from __future__ import annotations

from dfkdbench.descriptors import Method, Preset
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe

_STUDENT_ONLY = {"distil": Phase(generator_steps=0)}
_AUGMENTED = tuple(
    Preset({"generator.augmentation": "crop_flip"}, dataset=dataset, source="usual crop and flip of these data sets")
    for dataset in ("cifar10", "cifar100")
)
_SGD_CELLS = tuple(
    Preset(
        {
            "student.kind": "sgd",
            "student.lr": 0.1,
            "student.momentum": 0.9,
            "student.weight_decay": 5e-4,
            "student.schedule": "cosine",
        },
        dataset=dataset,
        source="this suite's own choice for residual students",
    )
    for dataset in ("cifar10", "cifar100", "svhn", "caltech101", "mini_imagenet", "tiny_imagenet", "imagenet")
)


_DIGITS = {"batch_size": 64, "student.lr": 5e-3}
_SAME_UPDATES = Preset(_DIGITS, dataset="digits", source="as many updates as the methods make there")
_SMALL_GENERATOR = Preset(
    {"generator.channels": (64, 16, 16)}, dataset="digits", source="the size of generator that methods use there"
)


def _control(name: str, summary: str, generator: str, student_loss: str) -> Method:
    recipe = Recipe(
        generator=PartChoice(name=generator),
        student_losses={student_loss: LossChoice()},
        student=OptimizerOptions(kind="adam", lr=2e-3, schedule="cosine"),
        phases=_STUDENT_ONLY,
    )
    presets = (*_SGD_CELLS, _SAME_UPDATES)
    if generator == "real":
        presets += _AUGMENTED
    if generator == "frozen":
        presets += (_SMALL_GENERATOR,)
    return Method(name=name, summary=summary, recipe=recipe, presets=presets)


CONTROLS = (
    _control("noise", "Control: the student imitates the teacher on Gaussian noise.", "noise", "kl"),
    _control(
        "random-generator",
        "Control: the student imitates the teacher on images of a generator that is never trained.",
        "frozen",
        "kl",
    ),
    _control(
        "real-data",
        "Control, not data-free: knowledge distillation with the real training set, at equal updates.",
        "real",
        "kl",
    ),
    _control(
        "scratch",
        "Control, not data-free: the student learns the real labels without a teacher, at equal updates.",
        "real",
        "cross_entropy",
    ),
)

"""Descriptions of the losses. Imports no torch."""

from __future__ import annotations

from dfkdbench.descriptors import Component, Role
from dfkdbench.parts.options import ClassEntropyOptions, KLOptions
from dfkdbench.recipe import Options

TMM = (
    "Hao et al., CDFKD-MFS: Collaborative Data-Free Knowledge Distillation via Multi-Level Feature Sharing, "
    "IEEE TMM 2022, arXiv 2205.11845"
)
ICME = (
    "Hao et al., Model Compression via Collaborative Data-Free Knowledge Distillation for Edge Intelligence, ICME 2021"
)

_LOSSES = "dfkdbench_cdfkd_mfs.losses"
_PAIRED = frozenset({"several_teachers", "student", "student_heads"})
_SOFT = frozenset({"soft_labels"})
_GRADIENTS = frozenset({"soft_labels", "input_gradients"})


def _loss(
    role: Role, name: str, target: str, summary: str, needs: frozenset[str], options: type[Options], paper: str
) -> Component:
    return Component(
        kind="loss",
        role=role,
        name=name,
        target=f"{_LOSSES}.{target}",
        summary=summary,
        options=options,
        needs=needs,
        paper=paper,
    )


STUDENT_LOSSES = (
    _loss(
        "student",
        "heads_l1",
        "heads:HeadsL1Loss",
        "Mean absolute difference of the logits of each head and its teacher.",
        _PAIRED | _SOFT,
        Options,
        TMM,
    ),
    _loss(
        "student",
        "heads_kl",
        "heads:HeadsKLLoss",
        "KL(teacher || head) at a temperature, mean over heads and batch.",
        _PAIRED | _SOFT,
        KLOptions,
        ICME,
    ),
    _loss(
        "student",
        "head_features_l1",
        "heads:HeadFeaturesL1Loss",
        "Absolute difference of the feature vectors of each head and its teacher, summed over their entries.",
        _PAIRED | {"features", "student_features"},
        Options,
        TMM,
    ),
)

IMAGE_LOSSES = (
    _loss(
        "image",
        "adversarial_heads_l1",
        "adversarial:AdversarialHeadsL1Loss",
        "Disagreement: minus the mean absolute difference of the logits of each head and its teacher.",
        _PAIRED | _GRADIENTS,
        Options,
        TMM,
    ),
    _loss(
        "image",
        "adversarial_heads_kl",
        "adversarial:AdversarialHeadsKLLoss",
        "Disagreement: minus KL(teacher || head), mean over heads and batch.",
        _PAIRED | _GRADIENTS,
        KLOptions,
        TMM,
    ),
    _loss(
        "image",
        "each_one_hot",
        "each_teacher:EachOneHotLoss",
        "Confidence of every teacher: one_hot, mean over the teachers.",
        _GRADIENTS | {"several_teachers"},
        Options,
        ICME,
    ),
    _loss(
        "image",
        "each_class_entropy",
        "each_teacher:EachClassEntropyLoss",
        "Class balance for every teacher: class_entropy, mean over the teachers.",
        _GRADIENTS | {"several_teachers"},
        ClassEntropyOptions,
        ICME,
    ),
    _loss(
        "image",
        "each_activation",
        "each_teacher:EachActivationLoss",
        "Strong features of every teacher: activation, mean over the teachers.",
        frozenset({"features", "input_gradients", "several_teachers"}),
        Options,
        ICME,
    ),
)

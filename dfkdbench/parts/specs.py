"""Descriptions of the built-in parts. Imports no torch."""

from __future__ import annotations

from dfkdbench.descriptors import Component
from dfkdbench.parts import options

_GRADIENTS_OF_LOGITS = frozenset({"soft_labels", "input_gradients"})

GENERATORS = (
    Component(
        kind="generator",
        name="conv",
        target="dfkdbench.parts.generators.conv:ConvGenerator",
        summary="Convolutional generator of Chen et al. (2019) and its successors, trained under the image losses.",
        options=options.ConvOptions,
        provides=frozenset({"images_with_gradient", "network", "latents"}),
        paper="Chen et al., Data-Free Learning of Student Networks, ICCV 2019",
    ),
    Component(
        kind="generator",
        name="pixels",
        target="dfkdbench.parts.generators.pixels:PixelsGenerator",
        summary="Images under optimisation: batches of noise fitted to their labels, kept in a pool.",
        options=options.PixelsOptions,
        provides=frozenset({"images_with_gradient", "labels"}),
        paper="Yin et al., Dreaming to Distill, CVPR 2020",
    ),
    Component(
        kind="generator",
        name="noise",
        target="dfkdbench.parts.generators.noise:NoiseGenerator",
        summary="Control: N(0, 1) pixels in the teacher's normalised input space; image losses have no effect.",
    ),
    Component(
        kind="generator",
        name="frozen",
        target="dfkdbench.parts.generators.frozen:FrozenGenerator",
        summary="Control: the network of conv, randomly initialised, never trained; image losses have no effect.",
        options=options.ConvNetworkOptions,
    ),
    Component(
        kind="generator",
        name="real",
        target="dfkdbench.parts.generators.real:RealImages",
        summary="Control, not data-free: the labelled real training set; on the judge's side only.",
        options=options.RealOptions,
        needs=frozenset({"real_samples"}),
        provides=frozenset({"labels"}),
    ),
)

STUDENT_LOSSES = (
    Component(
        kind="loss",
        role="student",
        name="kl",
        target="dfkdbench.parts.losses.kl:KLLoss",
        summary="KL(teacher || student) at a temperature, mean over the batch.",
        options=options.KLOptions,
        needs=frozenset({"soft_labels"}),
        paper="Hinton et al., Distilling the Knowledge in a Neural Network, 2015",
    ),
    Component(
        kind="loss",
        role="student",
        name="l1",
        target="dfkdbench.parts.losses.l1:L1Loss",
        summary="Mean absolute difference of the logits.",
        needs=frozenset({"soft_labels"}),
        paper="Fang et al., Data-Free Adversarial Distillation, 2019",
    ),
    Component(
        kind="loss",
        role="student",
        name="cross_entropy",
        target="dfkdbench.parts.losses.cross_entropy:CrossEntropyLoss",
        summary="Cross-entropy to the labels that come with the images.",
        needs=frozenset({"labels"}),
    ),
    Component(
        kind="loss",
        role="student",
        name="hard_labels",
        target="dfkdbench.parts.losses.hard_labels:HardLabelsLoss",
        summary="Cross-entropy to the teacher's most likely class.",
        needs=frozenset({"hard_labels"}),
        version="2",
    ),
)

IMAGE_LOSSES = (
    Component(
        kind="loss",
        role="image",
        name="one_hot",
        target="dfkdbench.parts.losses.one_hot:OneHotLoss",
        summary="Confidence: cross-entropy of the teacher's output to its own most likely class.",
        needs=_GRADIENTS_OF_LOGITS,
        paper="Chen et al., Data-Free Learning of Student Networks, ICCV 2019",
    ),
    Component(
        kind="loss",
        role="image",
        name="class_entropy",
        target="dfkdbench.parts.losses.class_entropy:ClassEntropyLoss",
        summary="Class balance: negative entropy of the teacher's mean prediction over the batch.",
        options=options.ClassEntropyOptions,
        needs=_GRADIENTS_OF_LOGITS,
        paper="Chen et al., Data-Free Learning of Student Networks, ICCV 2019",
    ),
    Component(
        kind="loss",
        role="image",
        name="activation",
        target="dfkdbench.parts.losses.activation:ActivationLoss",
        summary="Strong features: minus the mean absolute value of the teacher's features.",
        needs=frozenset({"features", "input_gradients"}),
        paper="Chen et al., Data-Free Learning of Student Networks, ICCV 2019",
    ),
    Component(
        kind="loss",
        role="image",
        name="batch_norm",
        target="dfkdbench.parts.losses.batch_norm:BatchNormLoss",
        summary="Distance of the images' statistics from the running ones of the teacher's batch norms.",
        options=options.BatchNormOptions,
        needs=frozenset({"batch_norm", "input_gradients"}),
        paper="Yin et al., Dreaming to Distill, CVPR 2020",
    ),
    Component(
        kind="loss",
        role="image",
        name="sample_entropy",
        target="dfkdbench.parts.losses.sample_entropy:SampleEntropyLoss",
        summary="Certainty: mean entropy of the teacher's predictions.",
        needs=_GRADIENTS_OF_LOGITS,
        paper="Choi et al., Data-Free Network Quantization With Adversarial Knowledge Distillation, CVPRW 2020",
    ),
    Component(
        kind="loss",
        role="image",
        name="adversarial_l1",
        target="dfkdbench.parts.losses.adversarial_l1:AdversarialL1Loss",
        summary="Disagreement: minus the mean absolute difference of the logits of student and teacher.",
        options=options.AdversarialL1Options,
        needs=_GRADIENTS_OF_LOGITS | {"student"},
        paper="Fang et al., Data-Free Adversarial Distillation, 2019",
    ),
    Component(
        kind="loss",
        role="image",
        name="label",
        target="dfkdbench.parts.losses.label:LabelLoss",
        summary="Cross-entropy of the teacher's output to the labels that the images are made for.",
        options=options.LabelOptions,
        needs=_GRADIENTS_OF_LOGITS | {"labels"},
    ),
    Component(
        kind="loss",
        role="image",
        name="adversarial_kl",
        target="dfkdbench.parts.losses.adversarial_kl:AdversarialKLLoss",
        summary="Disagreement: minus KL(teacher || student).",
        options=options.AdversarialKLOptions,
        needs=_GRADIENTS_OF_LOGITS | {"student"},
        paper="Micaelli and Storkey, Zero-shot Knowledge Transfer via Adversarial Belief Matching, NeurIPS 2019",
    ),
    Component(
        kind="loss",
        role="image",
        name="total_variation",
        target="dfkdbench.parts.losses.total_variation:TotalVariationLoss",
        summary="Smoothness: differences of neighbouring pixels, in four directions.",
        options=options.TotalVariationOptions,
        paper="Mahendran and Vedaldi, Understanding Deep Image Representations by Inverting Them, CVPR 2015",
    ),
    Component(
        kind="loss",
        role="image",
        name="js_disagreement",
        target="dfkdbench.parts.losses.js_disagreement:JSDisagreementLoss",
        summary="Disagreement, bounded: one minus a clamped Jensen-Shannon divergence of teacher and student.",
        options=options.JSDisagreementOptions,
        needs=_GRADIENTS_OF_LOGITS | {"student"},
        paper="Binici et al., Robust and Resource-Efficient Data-Free Knowledge Distillation, AAAI 2022",
    ),
    Component(
        kind="loss",
        role="image",
        name="l2_norm",
        target="dfkdbench.parts.losses.l2_norm:L2NormLoss",
        summary="Size of the images: their Euclidean norm.",
        options=options.L2NormOptions,
        paper="Yin et al., Dreaming to Distill, CVPR 2020",
    ),
    Component(
        kind="loss",
        role="image",
        name="decision_adversarial",
        target="dfkdbench.parts.losses.decision_adversarial:DecisionAdversarialLoss",
        summary="Disagreement: minus KL(teacher || student) where both decide for the same class.",
        needs=_GRADIENTS_OF_LOGITS | {"student"},
        paper="Fang et al., Contrastive Model Inversion for Data-Free Knowledge Distillation, IJCAI 2021",
    ),
)

COMBINERS = (
    Component(
        kind="combiner",
        name="sum",
        target="dfkdbench.parts.combiners:SumCombiner",
        summary="Weighted sum of the image losses.",
    ),
)

REPLAYS = (
    Component(
        kind="replay",
        name="none",
        target="dfkdbench.parts.replays:NoReplay",
        summary="No memory of past samples.",
    ),
)

AGGREGATORS = (
    Component(
        kind="aggregator",
        name="first",
        target="dfkdbench.parts.aggregators:FirstAggregator",
        summary="The first teacher's signal.",
    ),
    Component(
        kind="aggregator",
        name="mean",
        target="dfkdbench.parts.aggregators:MeanAggregator",
        summary="Mean of the teachers' logits, and of their features where shapes agree.",
    ),
    Component(
        kind="aggregator",
        name="attention",
        target="dfkdbench.parts.aggregators:AttentionAggregator",
        summary="As mean in training; then the judge fits attention over the student's heads on labelled real samples.",
        options=options.AttentionOptions,
        needs=frozenset({"real_samples", "several_teachers", "student_heads"}),
        provides=frozenset({"readout"}),
        paper="Hao et al., Model Compression via Collaborative Data-Free Knowledge Distillation for Edge "
        "Intelligence, ICME 2021",
    ),
)

COMPONENTS = GENERATORS + STUDENT_LOSSES + IMAGE_LOSSES + COMBINERS + REPLAYS + AGGREGATORS

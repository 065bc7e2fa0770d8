"""Descriptions of the built-in architectures. Imports no torch."""

from __future__ import annotations

import importlib.metadata

from dfkdbench.descriptors import ModelSpec

_PLAIN = frozenset({"features", "stages"})
_WITH_BATCH_NORM = frozenset({"features", "stages", "batch_norm"})
_LENET = "LeCun et al., 1998; as in DAFL (Chen et al., ICCV 2019)"
_RESNET = "He et al., CVPR 2016"
_WRN = "Zagoruyko and Komodakis, BMVC 2016"

MODELS: list[ModelSpec] = [
    ModelSpec(
        name="lenet_s",
        target="dfkdbench.models.digits:lenet_s",
        summary="Small LeNet for 16 x 16 images, no batch norm: teacher of the default cell.",
        signals=_PLAIN,
        image_sizes=(16,),
    ),
    ModelSpec(
        name="lenet_xs",
        target="dfkdbench.models.digits:lenet_xs",
        summary="Its student, about a sixth of the parameters.",
        signals=_PLAIN,
        image_sizes=(16,),
    ),
    ModelSpec(
        name="resnet_s",
        target="dfkdbench.models.digits:resnet_s",
        summary="Small residual network for 16 x 16 images, with batch norm: teacher of the second digits cell.",
        signals=_WITH_BATCH_NORM,
        image_sizes=(16,),
        paper=_RESNET,
    ),
    ModelSpec(
        name="resnet_xs",
        target="dfkdbench.models.digits:resnet_xs",
        summary="Its student, about a quarter of the parameters.",
        signals=_WITH_BATCH_NORM,
        image_sizes=(16,),
        paper=_RESNET,
    ),
    ModelSpec(
        name="lenet5",
        target="dfkdbench.models.lenet:lenet5",
        summary="LeNet-5 with ReLU and max pooling for 32 x 32 images, no batch norm, 62 k parameters.",
        signals=_PLAIN,
        image_sizes=(32,),
        paper=_LENET,
    ),
    ModelSpec(
        name="lenet5_half",
        target="dfkdbench.models.lenet:lenet5_half",
        summary="LeNet-5 with half the channels, 16 k parameters.",
        signals=_PLAIN,
        image_sizes=(32,),
        paper=_LENET,
    ),
    ModelSpec(
        name="resnet18",
        target="dfkdbench.models.resnet:resnet18",
        summary="ResNet-18, 11 M parameters; small-image stem below 128 pixels, ImageNet stem from there on.",
        signals=_WITH_BATCH_NORM,
        paper=_RESNET,
    ),
    ModelSpec(
        name="resnet34",
        target="dfkdbench.models.resnet:resnet34",
        summary="ResNet-34, 21 M parameters; small-image stem below 128 pixels, ImageNet stem from there on.",
        signals=_WITH_BATCH_NORM,
        paper=_RESNET,
    ),
    ModelSpec(
        name="resnet50",
        target="dfkdbench.models.resnet:resnet50",
        summary="ResNet-50, 26 M parameters; small-image stem below 128 pixels, ImageNet stem from there on.",
        signals=_WITH_BATCH_NORM,
        paper=_RESNET,
    ),
    ModelSpec(
        name="wrn_40_2",
        target="dfkdbench.models.wrn:wrn_40_2",
        summary="Wide residual network of depth 40 and width 2, 2.2 M parameters.",
        signals=_WITH_BATCH_NORM,
        paper=_WRN,
    ),
    ModelSpec(
        name="wrn_40_1",
        target="dfkdbench.models.wrn:wrn_40_1",
        summary="Wide residual network of depth 40 and width 1, 0.56 M parameters.",
        signals=_WITH_BATCH_NORM,
        paper=_WRN,
    ),
    ModelSpec(
        name="wrn_16_2",
        target="dfkdbench.models.wrn:wrn_16_2",
        summary="Wide residual network of depth 16 and width 2, 0.69 M parameters.",
        signals=_WITH_BATCH_NORM,
        paper=_WRN,
    ),
    ModelSpec(
        name="wrn_16_1",
        target="dfkdbench.models.wrn:wrn_16_1",
        summary="Wide residual network of depth 16 and width 1, 0.18 M parameters.",
        signals=_WITH_BATCH_NORM,
        paper=_WRN,
    ),
    ModelSpec(
        name="vgg11",
        target="dfkdbench.models.vgg:vgg11",
        summary="VGG-11 with batch norm and global pooling, 9.2 M parameters.",
        signals=_WITH_BATCH_NORM,
        paper="Simonyan and Zisserman, ICLR 2015",
    ),
]


def describe_timm() -> ModelSpec:
    """The architectures of timm; what changes between its versions changes run ids."""
    try:
        version = importlib.metadata.version("timm")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    return ModelSpec(
        name="timm.*",
        target="dfkdbench.models.timm_models:*",
        summary='Any architecture of timm, such as timm.resnet18, untrained: pip install "dfkdbench[timm]".',
        signals=frozenset({"features", "batch_norm"}),
        version=f"timm {version}",
        paper="Wightman, PyTorch Image Models, 2019",
        family=True,
    )

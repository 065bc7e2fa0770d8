"""Descriptions of the architectures. Imports no torch."""

from __future__ import annotations

from dfkdbench.descriptors import ModelSpec
from dfkdbench_cdfkd_mfs.components import ICME, TMM

_PLAIN = frozenset({"features", "stages"})
_WITH_BATCH_NORM = _PLAIN | {"batch_norm"}


def _model(
    name: str, summary: str, signals: frozenset[str], sizes: tuple[int, ...] = (), heads: int = 0, paper: str = TMM
) -> ModelSpec:
    return ModelSpec(
        name=name,
        target=f"dfkdbench_cdfkd_mfs.models.architectures:{name}",
        summary=summary,
        signals=signals | {"heads"} if heads else signals,
        image_sizes=sizes,
        heads=heads,
        paper=paper,
    )


MODELS = (
    _model(
        "mh3_resnet18",
        "ResNet-18 with three heads on all its stages; 512 features a head, as a ResNet-18 or -34 has.",
        _WITH_BATCH_NORM,
        heads=3,
    ),
    _model("mh3_wrn_16_1", "WRN-16-1 with three heads on all its groups; 64 features a head.", _WITH_BATCH_NORM, (), 3),
    _model(
        "mh3_wrn_16_2", "WRN-16-2 with three heads on all its groups; 128 features a head.", _WITH_BATCH_NORM, (), 3
    ),
    _model(
        "mh3_wrn_40_2", "WRN-40-2 with three heads on all its groups; 128 features a head.", _WITH_BATCH_NORM, (), 3
    ),
    _model(
        "mh3_resnet_xs",
        "The student of resnet_s with three heads on all its stages, 15 k parameters; 16 features a head.",
        _WITH_BATCH_NORM,
        (16,),
        3,
    ),
    _model(
        "mh2_resnet_xs",
        "The student of resnet_s with two heads on all its stages, 12 k parameters; 16 features a head.",
        _WITH_BATCH_NORM,
        (16,),
        2,
    ),
    _model(
        "mh3_resnet_s",
        "resnet_s with three heads on all its stages: larger than its teacher, for head_features_l1 on digits.",
        _WITH_BATCH_NORM,
        (16,),
        3,
    ),
    _model(
        "mh3_resnet18_last",
        "ResNet-18 whose last block is private to each of three heads.",
        _WITH_BATCH_NORM,
        heads=3,
        paper=f"{TMM}, its CDFKD baseline",
    ),
    _model(
        "mh3_resnet_xs_last",
        "The student of resnet_s, its last block private to each of three heads, 13 k parameters.",
        _WITH_BATCH_NORM,
        (16,),
        3,
        f"{TMM}, its CDFKD baseline",
    ),
    _model(
        "mh3_resnet18_narrow_last",
        "ResNet-18 with a quarter of the channels, its last stage private to each of three heads, 1.8 M parameters.",
        _WITH_BATCH_NORM,
        heads=3,
        paper=ICME,
    ),
    _model(
        "mh3_lenet5_half",
        "lenet5_half whose linear layers are private to each of three heads, 22 k parameters.",
        _PLAIN,
        (32,),
        3,
        ICME,
    ),
    _model(
        "mh3_lenet5_1_2_30",
        "LeNet-5 with 1, 2 and 30 channels and three heads of 15 units, 3.5 k parameters.",
        _PLAIN,
        (32,),
        3,
        ICME,
    ),
    _model(
        "mh3_lenet_xs",
        "lenet_xs whose third convolution is private to each of three heads, 5 k parameters.",
        _PLAIN,
        (16,),
        3,
        ICME,
    ),
    _model(
        "lenet5_2_4_60",
        "LeNet-5 with 2, 4 and 60 channels, 8.5 k parameters: teacher of mh3_lenet5_1_2_30.",
        _PLAIN,
        (32,),
        paper=ICME,
    ),
    _model(
        "resnet34_narrow",
        "ResNet-34 with a quarter of the channels, 1.3 M parameters: teacher of mh3_resnet18_narrow_last.",
        _WITH_BATCH_NORM,
        paper=ICME,
    ),
)

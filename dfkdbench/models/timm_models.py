"""Architectures of the package timm, by their names there. timm is imported when one is built.

`from dfkdbench.models.timm_models import resnet18` is a factory like those of the other modules here: the name of an
attribute is that of an architecture.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import cast

from torch import nn

from dfkdbench.errors import ConfigError, nearest
from dfkdbench.models.tapped import tapped


def __getattr__(name: str) -> Callable[[int, int, int], nn.Module]:
    if name.startswith("__"):
        raise AttributeError(name)
    return functools.partial(build, name)


def build(name: str, channels: int, classes: int, image_size: int) -> nn.Module:
    """An architecture of timm without pretrained weights, tapped.

    Raises:
        ConfigError: timm is not installed, or has no architecture of that name.
    """
    timm = _import_timm(name)
    known: list[str] = timm.list_models()
    if name not in known:
        bare = name.partition(".")[0]
        hint = f" Weights are none of its own here: say timm.{bare}." if bare in known else nearest(name, known)
        raise ConfigError(
            f"timm {timm.__version__} has no architecture '{name}'.{hint} "
            "List them with: python -c 'import timm; print(*timm.list_models())'"
        )
    config = timm.get_pretrained_cfg(name)
    size = {"img_size": image_size} if config and config.fixed_input_size else {}
    network = timm.create_model(name, pretrained=False, in_chans=channels, num_classes=classes, **size)
    return tapped(cast(nn.Module, network))


def _import_timm(name: str) -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise ConfigError(
            f"The model 'timm.{name}' needs the package timm, which can't be imported ({error}). "
            'Install it with: pip install "dfkdbench[timm]"'
        ) from None
    return cast(ModuleType, timm)

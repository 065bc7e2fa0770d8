"""From the description of an architecture to a network."""

from __future__ import annotations

from importlib import import_module

from torch import nn

from dfkdbench.descriptors import ModelSpec
from dfkdbench.rng import seeded_initialisation


def build_network(arch: ModelSpec, channels: int, classes: int, image_size: int, seed: int = 0) -> nn.Module:
    """A fresh network on the CPU, in train mode.

    Its initial weights depend on the arguments alone: torch's global random state is neither read nor changed.

    Raises:
        ConfigError: The architecture can't take this shape.
    """
    module, _, attribute = arch.target.partition(":")
    factory = getattr(import_module(module), attribute)
    with seeded_initialisation(seed):
        network: nn.Module = factory(channels, classes, image_size)
    return network

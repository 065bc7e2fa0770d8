"""A plugin whose module imports torch, for the check `light`."""

import torch

from dfkdbench import Component, hookimpl

API = 1


@hookimpl
def dfkdbench_generators():
    target = "dfkdbench.parts.generators.noise:NoiseGenerator"
    return [Component(kind="generator", name="heavy", target=target, summary=f"Noise by torch {torch.__version__}.")]

"""Exact shortcuts: the same mathematics with its operations in another order, so that rounding is all they change.

They are on, unless a run is started with `--plain`: then everything is computed as papers and their code write it. As
with its number of threads, a process has one setting, made before anything is built. Like that number it is in
the run's `launch.json` and in no run id. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Collection

SHORTCUTS = {
    "channels-last": "maps of convolutional generators, and of all networks in bf16, with channels innermost in memory",
    "channels-last-weights": "kernels of teachers and students in fp32 likewise",
    "folded-batch-norms": "batch norms of teachers as part of the convolutions before them, unless a loss wants them",
    "fused-optimizers": "one kernel for all parameters of an optimiser",
    "merged-upsampling": "nearest upsampling and the 3 x 3 convolution behind it as one transposed convolution",
    "minimal-filtering": "wide 3 x 3 convolutions of frozen teachers in fp32 on CPUs with fewer products",
    "summed-biases": "the gradient of such a transposed convolution's bias as a sum of its own",
    "unpadded-products": "wide 3 x 3 convolutions of small maps in bf16 on CPUs without products with padding",
}

CAPTURES = ("auto", "graph", "compile", "off")
"""How rounds may be captured, which is as exact: auto and graph by CUDA graphs, compile by the framework's compiler."""

_on: frozenset[str] = frozenset(SHORTCUTS)


def use_shortcuts(names: Collection[str]) -> None:
    """Puts these and no others in force, for whatever this process builds from now on."""
    global _on
    _on = frozenset(names)


def is_taken(name: str) -> bool:
    """Whether a path of `SHORTCUTS` is in force."""
    return name in _on

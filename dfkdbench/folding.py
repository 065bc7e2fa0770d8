"""Batch norms of frozen networks as part of the convolutions before them.

In eval mode a batch norm is gamma (x - mu) / sqrt(sigma^2 + epsilon) + beta with fixed values: behind a convolution it
scales the weights and shifts the bias (Jacob et al., CVPR 2018, section 3.2).
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.utils import fuse_conv_bn_weights

from dfkdbench.seams import Taps
from dfkdbench.shortcuts import is_taken
from dfkdbench.signals import Signal, read_signal

Pair = tuple[str, str]
"""Names of a convolution and of the batch norm that alone works on what it gives."""

_SEEN_BY_BATCH_NORMS = frozenset({"batch_norm", "batch_norm_means"})
_COMPARED = frozenset({"features", "stages"})
_TOLERANCE = 1e-2
"""Relative: far more than rounding, even to 10 bits as devices may in convolutions, and far less than any mistake."""


class FoldedNetwork(nn.Module):
    """A frozen network and its copy without the batch norms that convolutions took in.

    Where a pass is asked for what batch norms see, it is one of the whole network, else of the copy. In bf16 the copy
    holds the weights that autocast would make anew in every pass; outside of autocast the whole network answers.

    Args:
        whole: In eval mode, weights without gradient.
        folded: Its copy.
        precision: Of the recipe.
    """

    def __init__(self, whole: nn.Module, folded: nn.Module, precision: str) -> None:
        super().__init__()
        self.whole, self.folded = whole, folded
        self._in_autocast_alone = precision == "bf16"
        if self._in_autocast_alone:
            for module in self.folded.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.to(torch.bfloat16)
        self.eval()

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        fits = torch.is_autocast_enabled(images.device.type) or not self._in_autocast_alone
        plain = taps is None or not taps.wants & _SEEN_BY_BATCH_NORMS
        network = self.folded if fits and plain else self.whole
        logits: Tensor = network(images) if taps is None else network(images, taps)
        return logits

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The whole network's, under its own names; the copy is made of it."""
        held: dict[str, Any] = self.whole.state_dict(*args, **kwargs)
        return held


def fold_batch_norms(network: nn.Module, image_shape: tuple[int, int, int], precision: str = "fp32") -> nn.Module:
    """The network with what can be folded, or itself where that is nothing or the shortcut is not in force.

    Nothing is assumed of an architecture: pairs are found in the graph of a pass, and the copy is taken only if it
    gives the same logits, features and stages, up to rounding.

    Args:
        network: In eval mode, weights without gradient.
        image_shape: (C, H, W).
        precision: Of the recipe.
    """
    if not is_taken("folded-batch-norms"):
        return network
    weight = next(network.parameters())
    probe = torch.randn(1, *image_shape, generator=torch.Generator().manual_seed(0), dtype=weight.dtype)
    probe = probe.to(weight.device)
    pairs = _find_pairs(network, probe)
    if not pairs:
        return network
    folded = _fold(network, pairs)
    return FoldedNetwork(network, folded, precision) if _is_same(network, folded, probe) else network


class _Watch:
    """Sees in a pass which convolution's output went into which batch norm, as it was."""

    def __init__(self, network: nn.Module) -> None:
        self.made: dict[Node, str] = {}
        self.taken: list[tuple[Node, Pair]] = []
        self.calls: Counter[str] = Counter()
        self.hooks = []
        for name, module in network.named_modules():
            if type(module) is nn.Conv2d:
                self.hooks.append(module.register_forward_hook(partial(self._note_output, name)))
            elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
                self.hooks.append(module.register_forward_pre_hook(partial(self._note_input, name)))

    def _note_output(self, name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self.calls[name] += 1
        if output.grad_fn is not None:
            self.made[output.grad_fn] = name

    def _note_input(self, name: str, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.calls[name] += 1
        node = inputs[0].grad_fn
        if node is not None and node in self.made:
            self.taken.append((node, (self.made[node], name)))


def _find_pairs(network: nn.Module, images: Tensor) -> list[Pair]:
    """Convolutions and batch norms that are called once, the one's output going into the other and nowhere else."""
    watch = _Watch(network)
    with torch.enable_grad():
        uses = _count_uses(network(images.requires_grad_()))
    for hook in watch.hooks:
        hook.remove()
    return [pair for node, pair in watch.taken if uses[node] == 1 and all(watch.calls[name] == 1 for name in pair)]


def _count_uses(output: Tensor) -> Counter[Node]:
    """In how many operations behind an output the result of each one is used."""
    uses: Counter[Node] = Counter()
    ahead = [output.grad_fn]
    while ahead:
        node = ahead.pop()
        for before, _ in node.next_functions if node is not None else ():
            if before is not None:
                uses[before] += 1
                if uses[before] == 1:
                    ahead.append(before)
    return uses


def _fold(network: nn.Module, pairs: Sequence[Pair]) -> nn.Module:
    """A copy with every pair as one convolution."""
    folded = copy.deepcopy(network)
    for convolution_name, batch_norm_name in pairs:
        convolution: Any = folded.get_submodule(convolution_name)
        batch_norm: Any = folded.get_submodule(batch_norm_name)
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            batch_norm.running_mean,
            batch_norm.running_var,
            batch_norm.eps,
            batch_norm.weight,
            batch_norm.bias,
        )
        folded.set_submodule(batch_norm_name, _Passing())
    return folded.requires_grad_(False)


class _Passing(nn.Module):
    """Stands where a batch norm was."""

    def forward(self, inputs: Tensor, taps: Taps | None = None) -> Tensor:
        """Its input."""
        return inputs


def _is_same(network: nn.Module, folded: nn.Module, images: Tensor) -> bool:
    """Whether two networks give the same signals up to rounding."""
    with torch.no_grad():
        theirs, ours = (read_signal(each, images, _COMPARED) for each in (network, folded))
    pairs = zip(_tensors(theirs), _tensors(ours), strict=True)
    return all(_is_close(one, other) for one, other in pairs)


def _tensors(signal: Signal) -> list[Tensor]:
    return [signal.logits, *signal.stages, *([] if signal.features is None else [signal.features])]


def _is_close(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= _TOLERANCE * one.abs().max())

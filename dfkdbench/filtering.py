"""Wide 3 x 3 convolutions of frozen networks by minimal filtering, on CPUs.

Winograd's F(2 x 2, 3 x 3) (Lavin and Gray, CVPR 2016, section 4.1) makes four outputs of a 4 x 4 patch d of the input
by A^T [(G g G^T) * (B^T d B)] A: 16 products in the place of 36, and additions that all channels of an output share.
The kernels g of a frozen network are transformed and laid out once. Exact up to the order of additions.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfkdbench.convolutions import RewrittenConvolution, can_pack, is_transformed, multiply, pack, rewrite_convolutions
from dfkdbench.shortcuts import is_taken

NARROWEST = 256
"""Channels from which on the products that are saved take longer than the additions."""
FEWEST_PATCHES = 32
"""Fewer would not be worth reading the transformed kernels for."""

_AnyModule = TypeVar("_AnyModule", bound=nn.Module)

_SUM_OF_ALL = 5
"""Of 16 products the one at (1, 1): A^T adds it to each of the four outputs, and so what a bias adds to it."""


def filter_minimally(network: _AnyModule) -> _AnyModule:
    """The network, those of its frozen convolutions rewritten in place that are faster so."""
    if not is_taken("minimal-filtering") or not can_pack(torch.float32):
        return network
    return rewrite_convolutions(network, FilteredConvolution, _is_eligible)


def _is_eligible(convolution: nn.Conv2d) -> bool:
    channels = min(convolution.in_channels, convolution.out_channels)
    return channels >= NARROWEST and convolution.stride == (1, 1) and not convolution.weight.requires_grad


class Kernels(NamedTuple):
    """Of a convolution and of its gradient: 16 matrices (outputs, inputs) each, as `multiply` takes them."""

    forward: tuple[Tensor, ...]
    backward: tuple[Tensor, ...]

    @property
    def swapped(self) -> Kernels:
        """Those of the gradient, whose gradient is the convolution."""
        return Kernels(self.backward, self.forward)


class FilteredConvolution(RewrittenConvolution):
    """A frozen convolution by minimal filtering wherever maps allow it.

    That is where their sides are even and they are not autocast: products of transforms rounded to bf16 are twice as
    far from the exact ones as bf16 convolutions are.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, outputs, H, W) of maps (B, inputs, H, W)."""
        if not self._fits(maps):
            return super().forward(maps)
        patches = maps.shape[0] * maps.shape[2] * maps.shape[3] // 4
        kernels = self._keep_kernels(lambda: _transform_kernels(self.weight.detach(), patches))
        filtered: Tensor = _Filtered.apply(maps, kernels, self.bias)
        return filtered

    def _fits(self, maps: Tensor) -> bool:
        if maps.dim() != 4:
            return False
        batch, _, height, width = maps.shape
        return (
            self.frozen
            and maps.dtype == self.weight.dtype
            and maps.dtype in (torch.float32, torch.float64)
            and height % 2 == width % 2 == 0
            and batch * height * width >= 4 * FEWEST_PATCHES
            and not self.weight.requires_grad
            and not torch.is_autocast_enabled("cpu")
            and not is_transformed()
        )


class _Filtered(torch.autograd.Function):
    """The convolution of maps with frozen kernels."""

    @staticmethod
    def forward(maps: Tensor, kernels: Kernels, bias: Tensor | None) -> Tensor:
        return _convolve(maps, kernels.forward, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Kernels, Tensor | None], output: Tensor) -> None:
        ctx.kernels = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Filtered.apply(gradient, ctx.kernels.swapped, None), None, None


def _transform_kernels(weight: Tensor, patches: int) -> Kernels:
    """G g G^T of the kernels g (outputs, inputs, 3, 3), and of the gradient's: turned round, inputs for outputs."""
    made = []
    for kernel in (weight, weight.flip(2, 3).transpose(0, 1)):
        matrices = _spread(_spread(kernel, 3), 3).flatten(0, 1)
        made.append(tuple(pack(matrix, patches) for matrix in matrices))
    return Kernels(*made)


def _spread(kernel: Tensor, axis: int) -> Tensor:
    """G along one axis, which becomes the first: (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2)."""
    first, second, third = kernel.unbind(axis)
    ends, middle = (first + third) / 2, second / 2
    return torch.stack((first, ends + middle, ends - middle, third))


def _convolve(maps: Tensor, kernels: tuple[Tensor, ...], bias: Tensor | None) -> Tensor:
    batch, _, height, width = maps.shape
    patches = _transform_patches(F.pad(maps, (1, 1, 1, 1)).permute(0, 2, 3, 1).contiguous())
    products = [
        multiply(rows, kernel, bias if place == _SUM_OF_ALL else None).view(batch, height // 2, width // 2, -1)
        for place, (rows, kernel) in enumerate(zip(patches, kernels, strict=True))
    ]
    return _transform_products(products).permute(0, 3, 1, 2)


def _transform_patches(padded: Tensor) -> Tensor:
    """B^T d B (16, B H/2 W/2, C) of the 4 x 4 patches d, two apart, of maps (B, H + 2, W + 2, C)."""
    batch, height, width, channels = padded.shape
    down, across = height // 2 - 1, width // 2 - 1
    rows = padded.new_empty(4, batch, down, width, channels)
    _combine([padded[:, row : row + 2 * down : 2] for row in range(4)], rows)
    made = padded.new_empty(4, 4, batch, down, across, channels)
    _combine([rows[:, :, :, column : column + 2 * across : 2] for column in range(4)], made.transpose(0, 1))
    return made.view(16, -1, channels)


def _combine(parts: list[Tensor], made: Tensor) -> None:
    """B^T along one axis: (d0 - d2, d1 + d2, d2 - d1, d1 - d3)."""
    torch.sub(parts[0], parts[2], out=made[0])
    torch.add(parts[1], parts[2], out=made[1])
    torch.sub(parts[2], parts[1], out=made[2])
    torch.sub(parts[1], parts[3], out=made[3])


def _transform_products(products: list[Tensor]) -> Tensor:
    """A^T m A, as maps (B, H, W, C), of 16 products m (B, H/2, W/2, C)."""
    batch, down, across, channels = products[0].shape
    upper, lower = zip(*(_reduce(products[column::4]) for column in range(4)), strict=True)
    made = products[0].new_empty(batch, down, 2, across, 2, channels)
    for row, halves in enumerate((upper, lower)):
        for column, half in enumerate(_reduce(halves)):
            made[:, :, row, :, column] = half
    return made.view(batch, 2 * down, 2 * across, channels)


def _reduce(parts: Any) -> tuple[Tensor, Tensor]:
    """A^T along one axis: (m0 + m1 + m2, m1 - m2 - m3)."""
    first, second, third, fourth = parts
    return (second + third).add_(first), (second - third).sub_(fourth)

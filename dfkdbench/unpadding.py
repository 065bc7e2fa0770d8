"""Wide 3 x 3 convolutions of small maps without the products with their padding, in bf16 on CPUs.

Of the 9 pixels that a kernel meets in maps of 4 x 4, 3 in 10 are zeros of the padding on average; in maps of 2 x 2 more
than half are. Positions where the same part of the kernel lies inside are taken together: their outputs are the product
of a matrix of patches and one of that part. Exact up to the order of additions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from dfkdbench.convolutions import RewrittenConvolution, can_pack, is_transformed, multiply, pack, rewrite_convolutions
from dfkdbench.shortcuts import is_taken

NARROWEST = 256
"""Channels from which on the products that are saved take longer than laying out patches."""
LARGEST = 6
"""Side of the maps that are made up to which that is so."""

WIDEST_STRIDE = 2

_AnyModule = TypeVar("_AnyModule", bound=nn.Module)


def skip_padding(network: _AnyModule, precision: str) -> _AnyModule:
    """The network, those of its convolutions rewritten in place that are faster so in that precision of the recipe."""
    if precision != "bf16" or not is_taken("unpadded-products") or not _has_products():
        return network
    return rewrite_convolutions(network, UnpaddedConvolution, _is_eligible)


def _has_products() -> bool:
    """Whether the framework's library multiplies matrices of bf16 on this machine, laid out beforehand too."""
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return asked is not None and bool(asked()) and can_pack(torch.bfloat16)


def _is_eligible(convolution: nn.Conv2d) -> bool:
    channels = min(convolution.in_channels, convolution.out_channels)
    return channels >= NARROWEST and convolution.stride[0] <= WIDEST_STRIDE


class UnpaddedConvolution(RewrittenConvolution):
    """A convolution as products of unpadded patches, where it makes small maps and they are autocast to bf16.

    In float64 as well, so that it can be compared with the framework's; in float32 the framework's is faster.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, outputs, H', W') of maps (B, inputs, H, W)."""
        dtype = self._dtype_of_products(maps)
        if dtype is None or maps.dim() != 4 or max(maps.shape[2:]) > LARGEST * self.stride[0] or is_transformed():
            return super().forward(maps)
        maps, bias = maps.to(dtype), None if self.bias is None else self.bias.to(dtype)
        if self.frozen and not self.weight.requires_grad:
            weight, kernels = self.weight, self._kernels_for(maps)
        else:
            weight, kernels = self.weight.to(dtype), None
        convolved: Tensor = _Unpadded.apply(maps, weight, bias, kernels, self.stride[0])
        return convolved

    def _dtype_of_products(self, maps: Tensor) -> torch.dtype | None:
        """That of the framework's convolution; none where that is faster or refuses the maps."""
        dtypes = {maps.dtype, self.weight.dtype}
        if torch.is_autocast_enabled("cpu") and torch.float64 not in dtypes:
            dtypes = {torch.get_autocast_dtype("cpu")}
        return dtypes.pop() if dtypes in ({torch.bfloat16}, {torch.float64}) else None

    def _kernels_for(self, maps: Tensor) -> Kernels:
        def make() -> Kernels:
            return _pack_kernels(self.weight.to(maps.dtype), _lay_grid(maps, self.stride[0]), maps.shape[0])

        kernels: Kernels = self._keep_kernels(make, maps.dtype, *maps.shape[2:])
        return kernels


class Kernels(NamedTuple):
    """Matrices (outputs, inputs) for each group of positions, of a frozen convolution and of its gradient.

    The gradient has them where it is such a convolution itself, which is at stride 1.
    """

    forward: tuple[Tensor, ...]
    backward: tuple[Tensor, ...]


class _Unpadded(torch.autograd.Function):
    """The convolution of maps (B, C, H, W), with kernels that learn or with ones laid out beforehand."""

    @staticmethod
    def forward(maps: Tensor, weight: Tensor, bias: Tensor | None, kernels: Kernels | None, stride: int) -> Tensor:
        grid = _lay_grid(maps, stride)
        matrices = kernels.forward if kernels is not None else _cut(_innermost(weight.to(maps.dtype)), grid)
        return _convolve(maps, matrices, bias, grid)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        maps, weight, bias, ctx.kernels, ctx.stride = inputs
        ctx.bias_sizes = None if bias is None else list(bias.shape)
        ctx.save_for_backward(maps, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # this gradient is to have one
            return *_backward_of_framework(ctx, gradient, wanted), None, None
        by_maps = by_weight = by_bias = None
        if wanted[0] and ctx.stride > 1:
            by_maps = _backward_of_framework(ctx, gradient, (True, False, False))[0]
        elif wanted[0]:
            grid = _lay_grid(maps, stride=1)
            known = ctx.kernels is not None
            matrices = ctx.kernels.backward if known else _cut(_turn_round(weight.to(maps.dtype)), grid)
            by_maps = _convolve(gradient, matrices, None, grid)
        if wanted[1]:
            by_weight = _correlate(gradient, maps, ctx.stride)
        if wanted[2]:
            by_bias = gradient.sum((0, 2, 3))
        return by_maps, by_weight, by_bias, None, None


def _backward_of_framework(ctx: Any, gradient: Tensor, wanted: tuple[bool, ...]) -> tuple[Tensor | None, ...]:
    """That of the framework's convolution, which can be differentiated: by maps, weight and bias, where wanted."""
    maps, weight = ctx.saved_tensors
    strides, ones, zeros = [ctx.stride, ctx.stride], [1, 1], [0, 0]
    made: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
        gradient, maps, weight.to(maps.dtype), ctx.bias_sizes, strides, ones, ones, False, zeros, 1, wanted
    )
    return made


class Group(NamedTuple):
    """Positions along an axis, and the part of a kernel that lies inside the maps there.

    Attributes:
        first: What the part's first element meets at the first position.
    """

    positions: slice
    kernel: slice
    first: int
    sizes: tuple[int, int]


class Grid(NamedTuple):
    """The positions of a kernel on maps of that height and width."""

    height: int
    width: int
    stride: int

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of what the convolution makes."""
        return (self.height - 1) // self.stride + 1, (self.width - 1) // self.stride + 1

    @property
    def rows(self) -> list[Group]:
        """Groups of positions where the same rows of the kernel lie inside."""
        return _group(self.height, self.sides[0], self.stride)

    @property
    def columns(self) -> list[Group]:
        """Groups of positions where the same columns of the kernel lie inside."""
        return _group(self.width, self.sides[1], self.stride)

    @property
    def groups(self) -> Iterator[tuple[Group, Group]]:
        """Each group's rows and columns."""
        return ((rows, columns) for columns in self.columns for rows in self.rows)


def _lay_grid(maps: Tensor, stride: int) -> Grid:
    return Grid(maps.shape[2], maps.shape[3], stride)


def _group(side: int, positions: int, stride: int) -> list[Group]:
    def inside(position: int) -> tuple[int, int]:
        return max(1 - stride * position, 0), min(side + 1 - stride * position, 3)

    groups = []
    for (start, stop), members in itertools.groupby(range(positions), inside):
        first, *others = members
        sizes = 1 + len(others), stop - start
        groups.append(Group(slice(first, first + sizes[0]), slice(start, stop), stride * first + start - 1, sizes))
    return groups


def _innermost(weight: Tensor) -> Tensor:
    """Kernels (3, 3, inputs, outputs) of a weight (outputs, inputs, 3, 3), channels of the input innermost."""
    return weight.contiguous(memory_format=torch.channels_last).permute(2, 3, 1, 0)


def _turn_round(weight: Tensor) -> Tensor:
    """Kernels (3, 3, outputs, inputs) of the gradient: those of a weight (outputs, inputs, 3, 3) turned round."""
    elements = [weight[:, :, 2 - row, 2 - column] for row, column in itertools.product(range(3), repeat=2)]
    return torch.stack(elements).view(3, 3, *weight.shape[:2])


def _cut(kernel: Tensor, grid: Grid) -> Iterator[Tensor]:
    """The matrix (outputs, inputs) of each group's part of kernels (3, 3, inputs, outputs)."""
    for columns in grid.columns:
        part = kernel[:, columns.kernel]
        if part.shape[1] < 3:
            part = part.clone()  # with the kernel's order in memory, so that its rows are cut without a copy
        for rows in grid.rows:
            yield part[rows.kernel].flatten(0, 2).t()


def _pack_kernels(weight: Tensor, grid: Grid, batch: int) -> Kernels:
    numbers = [batch * rows.sizes[0] * columns.sizes[0] for rows, columns in grid.groups]

    def lay_out(kernel: Tensor) -> tuple[Tensor, ...]:
        return tuple(pack(matrix, rows) for matrix, rows in zip(_cut(kernel, grid), numbers, strict=True))

    return Kernels(lay_out(_innermost(weight)), lay_out(_turn_round(weight)) if grid.stride == 1 else ())


def _convolve(maps: Tensor, matrices: Iterable[Tensor], bias: Tensor | None, grid: Grid) -> Tensor:
    """Maps (B, outputs, H', W'), channels innermost in memory, of maps (B, inputs, H, W)."""
    pixels = maps.permute(0, 2, 3, 1).contiguous()
    each = zip(grid.groups, matrices, strict=True)
    parts = [(group, multiply(_patches(pixels, group, grid.stride), matrix, bias)) for group, matrix in each]
    made = pixels.new_empty(len(maps), *grid.sides, parts[0][1].shape[1])
    for (rows, columns), part in parts:
        place = made[:, rows.positions, columns.positions]
        place.copy_(part.view(place.shape))
    return made.permute(0, 3, 1, 2)


def _patches(pixels: Tensor, group: tuple[Group, Group], stride: int) -> Tensor:
    """What the kernel meets at a group's positions, as rows of a matrix, of maps (B, H, W, C)."""
    batch, _, _, channels = pixels.shape
    rows, columns = group
    (down, high), (across, wide) = rows.sizes, columns.sizes
    image, row, column, _ = pixels.stride()
    first = pixels.storage_offset() + rows.first * row + columns.first * column
    sizes, strides = (batch, down, across, high, wide, channels), (image, stride * row, stride * column, row, column, 1)
    return pixels.as_strided(sizes, strides, first).reshape(batch * down * across, high * wide * channels)


def _correlate(gradient: Tensor, maps: Tensor, stride: int) -> Tensor:
    """The weight's gradient (outputs, inputs, 3, 3): an element's from the positions where it lies inside the maps."""
    outer, inner = gradient.permute(0, 2, 3, 1), maps.permute(0, 2, 3, 1)
    made = maps.new_empty(gradient.shape[1], 3, 3, maps.shape[1])
    for row, column in itertools.product(range(3), repeat=2):
        down, across = _inside(row, maps.shape[2], stride), _inside(column, maps.shape[3], stride)
        theirs = outer[:, down[0], across[0]].flatten(0, 2)
        made[:, row, column] = theirs.t() @ inner[:, down[1], across[1]].flatten(0, 2)
    return made.permute(0, 3, 1, 2)


def _inside(element: int, side: int, stride: int) -> tuple[slice, slice]:
    """Positions at which an element of the kernel lies inside, and what it meets there."""
    first, last = int(element == 0), (side - max(element, 1)) // stride
    return slice(first, last + 1), slice(stride * first + element - 1, stride * last + element, stride)

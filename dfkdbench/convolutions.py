"""What convolutions that are computed in another way than the framework's have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_AnyModule = TypeVar("_AnyModule", bound=nn.Module)


class RewrittenConvolution(nn.Conv2d):
    """A 3 x 3 convolution of padding 1 with another way for some maps.

    Args:
        convolution: Its parameters become this module's.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        channels, stride = (convolution.in_channels, convolution.out_channels), convolution.stride[0]
        super().__init__(*channels, 3, stride, padding=1, bias=False, device="meta")
        self.weight, self.bias = convolution.weight, convolution.bias
        self._kernels: Any = None
        self._made_of: tuple[object, ...] = ()
        self._packs = True

    def __getstate__(self) -> dict[str, Any]:
        """Without the kernels, whose layout can't be copied: a copy makes its own."""
        return {**self.__dict__, "_kernels": None, "_made_of": ()}

    def _keep_kernels(self, make: Callable[[], Any], *what_for: object) -> Any:
        """Those made before, or new ones where the weights or what they are for changed; none where none can be."""
        made_of = (self.weight.data_ptr(), self.weight._version, self.weight.dtype, *what_for)
        if self._packs and self._made_of != made_of:
            try:
                self._kernels, self._made_of = make(), made_of
            except (AttributeError, RuntimeError):  # a framework that lays out no matrices
                self._kernels, self._packs = None, False
        return self._kernels


def is_transformed() -> bool:
    """Whether a pass is compiled or rewritten by the framework, which then sees only its own operations."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def replace_convolutions(
    network: _AnyModule, kind: type[RewrittenConvolution], fits: Callable[[nn.Conv2d], bool]
) -> _AnyModule:
    """The network, its 3 x 3 convolutions that fit replaced in place. Parameters and their names stay."""
    for name, module in list(network.named_modules()):
        if type(module) is nn.Conv2d and _is_plain(module) and fits(module):
            network.set_submodule(name, kind(module))
    return network


def _is_plain(convolution: nn.Conv2d) -> bool:
    """Whether it is 3 x 3, dense, of padding 1 and of the same stride both ways, on a CPU."""
    shape = (convolution.kernel_size, convolution.padding, convolution.dilation)
    return (
        shape == ((3, 3), (1, 1), (1, 1))
        and convolution.stride[0] == convolution.stride[1]
        and convolution.groups == 1
        and convolution.padding_mode == "zeros"
        and convolution.weight.device.type == "cpu"
    )


def pack(matrix: Tensor, rows: int) -> Tensor:
    """The matrix laid out for products with that many rows: the framework would do that in each of them."""
    if matrix.dtype == torch.float64:
        return matrix
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), rows)
    return packed


def multiply(rows: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """Rows (P, outputs) of rows (P, inputs), by a matrix (outputs, inputs)."""
    if not matrix.is_mkldnn:
        return F.linear(rows, matrix, bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, matrix, bias, "none", [], "")
    return product

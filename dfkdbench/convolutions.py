"""What convolutions that are computed in another way than the framework's have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_AnyModule = TypeVar("_AnyModule", bound=nn.Module)


class RewrittenConvolution(nn.Conv2d):
    """A 3 x 3 convolution of padding 1 with another way for some maps, made by `rewrite_convolutions`.

    Attributes:
        frozen: Whether its weights had no gradient when it was made. Kernels are kept for these alone, not for weights
            of a student that are frozen for a while.
    """

    frozen: bool
    _kept: tuple[Any, ...]

    def __getstate__(self) -> dict[str, Any]:
        """Without kernels, whose layout can't be copied: a copy makes its own."""
        return {**self.__dict__, "_kept": ()}

    def _keep_kernels(self, make: Callable[[], Any], *what_for: object) -> Any:
        """Those made before, or new ones where the weights or what they are for changed."""
        made_of = (self.weight.data_ptr(), self.weight._version, self.weight.dtype, *what_for)
        if not self._kept or self._kept[0] is not self.weight or self._kept[1] != made_of:
            self._kept = (self.weight, made_of, make())
        return self._kept[2]


def is_transformed() -> bool:
    """Whether a pass is compiled or rewritten by the framework, which then sees only its own operations."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def rewrite_convolutions(
    network: _AnyModule, kind: type[RewrittenConvolution], fits: Callable[[nn.Conv2d], bool]
) -> _AnyModule:
    """The network, those of its 3 x 3 convolutions that fit made ones of that kind. All else of them stays."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_plain(module) and fits(module):
            module.__class__ = kind
            module.frozen, module._kept = not module.weight.requires_grad, ()  # type: ignore[assignment]
    return network


def _is_plain(convolution: nn.Conv2d) -> bool:
    """Whether it is 3 x 3, dense, of padding 1 and of the same stride both ways, on a CPU."""
    shape = (convolution.kernel_size, convolution.padding, convolution.dilation)
    return (
        shape == ((3, 3), (1, 1), (1, 1))
        and convolution.stride[0] == convolution.stride[1]
        and convolution.groups == 1
        and convolution.padding_mode == "zeros"
        and convolution._parameters.get("weight") is not None  # spectral norms and the like make it anew in each pass
        and convolution.weight.device.type == "cpu"
    )


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether the framework lays matrices out for products: by functions of its own, which a version may not have."""
    try:
        pack(torch.ones(2, 2, dtype=dtype), rows=2)
    except (AttributeError, RuntimeError):
        return False
    return True


def pack(matrix: Tensor, rows: int) -> Tensor:
    """The matrix laid out for products with that many rows: the framework would do that in each of them.

    One of float64, which the framework lays out in no way, as it is.
    """
    if matrix.dtype == torch.float64:
        return matrix
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), rows)
    return packed


def multiply(rows: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """Rows (P, outputs) of rows (P, inputs), by a matrix (outputs, inputs), packed or not."""
    if not matrix.is_mkldnn:
        return F.linear(rows, matrix, bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, matrix, bias, "none", [], "")
    return product

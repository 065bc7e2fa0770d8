"""The arithmetic of forward passes, as the recipe's `precision` says."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn

from dfkdbench.shortcuts import is_taken

_AnyModule = TypeVar("_AnyModule", bound=nn.Module)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of forward passes in a precision, "fp32" or "bf16". Losses are computed outside of it."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def widen(tensor: Tensor) -> Tensor:
    """A tensor of 16 bits in float32; any other as it is."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def place(network: _AnyModule, precision: str, device: torch.device) -> _AnyModule:
    """A teacher or student on the device, its kernels with channels innermost in memory, as those of generators.

    A convolution of such maps would copy them first, in every pass: up to a tenth of a round on small pairs in bf16,
    about 2 % in fp32 (benchmarks/README.md).
    """
    if is_taken("channels-last" if precision == "bf16" else "channels-last-weights"):
        return network.to(device).to(memory_format=torch.channels_last)
    return network.to(device)

"""Batch norms that normalise by the whole batch where each process has a share of it. On any device."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dfkdbench.crew import SharedCrew, combined


class WholeBatchNorm(_BatchNorm):
    """A batch norm over the shares of all processes, equally large. In eval mode it is an ordinary one.

    Mean and variance of the whole come from those of the shares, exchanged in float32 at least, and in the graph.
    """

    crew: SharedCrew

    def forward(self, input: Tensor) -> Tensor:
        """Normalises activations (B, C, ...), B a share's."""
        if not self.training:
            return super().forward(input)
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        variance, mean = torch.var_mean(wide, dim=[0, *range(2, input.dim())], correction=0)
        mean, variance = combined(self.crew.exchange(torch.stack([mean, variance])[None]))
        self._move(mean.detach(), variance.detach(), self.crew.size * input.numel() // input.shape[1])
        shape = (1, -1, *[1] * (input.dim() - 2))
        scale = (variance + self.eps).rsqrt()
        normalised = (wide - mean.view(shape)) * (scale * self.weight if self.affine else scale).view(shape)
        return (normalised + self.bias.view(shape) if self.affine else normalised).to(input.dtype)

    @torch.no_grad()
    def _move(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Moves the running statistics, the variance unbiased by the number of values."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_((variance * (count / max(1, count - 1))).to(self.running_var), share)


def synchronise(network: nn.Module, crew: SharedCrew) -> None:
    """Makes every batch norm of a network one over the whole batch; what a subclass adds to it stays."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = _over_the_whole_batch(type(module))
            module.crew = crew  # type: ignore[assignment]


def _over_the_whole_batch(kind: type[_BatchNorm]) -> type[WholeBatchNorm]:
    """A subclass of a batch norm whose innermost forward pass is that of `WholeBatchNorm`."""
    plain = next(base for base in kind.__mro__ if base.__module__ == _BatchNorm.__module__)
    whole = type(plain.__name__, (WholeBatchNorm, plain), {})
    return whole if kind is plain else type(kind.__name__, (kind, whole), {})

"""The convolutional network behind `conv` and `frozen`."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from dfkdbench.errors import PlanError
from dfkdbench.parts.generators.upsampling import UpsampledConvolution
from dfkdbench.parts.options import ConvNetworkOptions, OutputActivation, OutputNorm
from dfkdbench.precision import autocast, widen
from dfkdbench.rng import seeded_initialisation
from dfkdbench.seams import Setting
from dfkdbench.shortcuts import is_taken

NARROWEST = 16


class ConvNetwork(nn.Module):
    """Latents (B, latent) to images (B, C, H, W), for any number of channels and sides divisible by the upsampling.

    Linear, batch norm, [upsample by 2, 3x3 convolution, batch norm, LeakyReLU] for every entry of `channels` but
    the first, 3x3 convolution, output activation, output norm. With three entries this is the generator of DAFL
    (Chen et al., ICCV 2019), shared by DFAD, RDSKD, PRE-DFKD and CDFKD for 32x32 images: `norm_eps=0.8` is DAFL's,
    1e-5 DFAD's, an affine output norm without activation ZSKT's. With four, no `stem_norm` and `slope=0` it is
    DFQ's. The linear layer makes the first maps; `first_maps` bounds them for larger images.

    Args:
        options: Widths, norms and activations.
        image_shape: (channels, height, width).
        inner_bias: Biases of the two convolutions before batch norms, where they have no effect.
        precision: "fp32" or "bf16"; images are float32 either way.

    Raises:
        PlanError: A side is not divisible by the upsampling.
    """

    def __init__(
        self,
        options: ConvNetworkOptions,
        image_shape: tuple[int, int, int],
        inner_bias: bool = True,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        self._precision = precision
        self._memory_format = torch.channels_last if is_taken("channels-last") else torch.contiguous_format
        channels, height, width = image_shape
        stem, *widths = all_channels = fitting_channels(options, height, width)
        upsampling = 2 ** len(widths)
        if height % upsampling or width % upsampling:
            raise PlanError(
                f"The convolutional generator can't make images of {height}x{width} pixels: with {len(widths)} "
                f"upsamplings, sides must be divisible by {upsampling}. Choose another image size, fewer channels "
                "(--set generator.channels=[128,64]) or another generator; list them with: dfkdbench list generators"
            )
        self.first_shape = (stem, height // upsampling, width // upsampling)
        self.project = nn.Linear(options.latent, stem * self.first_shape[1] * self.first_shape[2])
        layers: list[nn.Module] = [nn.BatchNorm2d(stem) if options.stem_norm else nn.Identity()]
        for inputs, outputs in itertools.pairwise(all_channels):
            layers += [
                _convolution(UpsampledConvolution(inputs, outputs, inner_bias), options.spectral_norm),
                nn.BatchNorm2d(outputs, eps=options.norm_eps),
                nn.LeakyReLU(options.slope, inplace=True),
            ]
        self.layers = nn.Sequential(
            *layers,
            _convolution(nn.Conv2d(all_channels[-1], channels, 3, padding=1), options.spectral_norm),
            _activation(options.output_activation),
            _output_norm(options.output_norm, channels),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Images (B, C, H, W) of latents (B, latent)."""
        with autocast(self._precision, latents.device):
            first = self.project(latents).view(-1, *self.first_shape)
            return widen(self.layers(first.contiguous(memory_format=self._memory_format)))


def fitting_channels(options: ConvNetworkOptions, height: int, width: int) -> tuple[int, ...]:
    """The channels of the options and of what follows until the first maps of images of that size are small enough.

    A side that can't be halved once more ends it: 84 x 84 pixels start from 21 x 21.
    """
    channels = list(options.channels)
    while True:
        sides = [side / 2 ** (len(channels) - 1) for side in (height, width)]
        if max(sides) <= options.first_maps or any(side % 2 for side in sides):
            return tuple(channels)
        channels.append(min(channels[-1], max(NARROWEST, channels[-1] // 2)))


def build_network(options: ConvNetworkOptions, setting: Setting, inner_bias: bool = True) -> ConvNetwork:
    """The network on the run's device, its weights from the role `generator.weights`.

    Raises:
        PlanError: A side of the images is not divisible by the upsampling.
    """
    with seeded_initialisation(setting.rng("generator.weights").initial_seed()):
        network = ConvNetwork(options, setting.image_shape, inner_bias, setting.precision)
    layout = torch.channels_last if is_taken("channels-last") else torch.contiguous_format
    return network.to(setting.device).to(memory_format=layout)


def _convolution(convolution: nn.Conv2d, spectral_norm: bool) -> nn.Module:
    return parametrizations.spectral_norm(convolution) if spectral_norm else convolution


def _activation(name: OutputActivation) -> nn.Module:
    return {"tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "none": nn.Identity()}[name]


def _output_norm(name: OutputNorm, channels: int) -> nn.Module:
    if name == "none":
        return nn.Identity()
    return nn.BatchNorm2d(channels, affine=name == "batch_norm")

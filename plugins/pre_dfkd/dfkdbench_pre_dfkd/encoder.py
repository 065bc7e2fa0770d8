"""The encoder of the VAE memory."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from dfkdbench.errors import PlanError

InputNorm = Literal["columns", "image", "none"]
SMALLEST = 8


class Encoder(nn.Module):
    """Images (B, C, H, W) to mean and logarithm of the variance of their latents, (B, latent) each.

    PRE-DFKD (Binici et al., AAAI 2022), after its official code: two convolutions at full size, nearest-neighbour
    halving, a convolution of stride 2 with batch norm and no activation, halving again, two linear layers. The
    code normalises every pixel column of the input to length 1 (`columns`), which looks unintended and is an option.

    Args:
        channels: After each of the three convolutions.
        latent: Length of a latent.
        image_shape: (channels, height, width).

    Raises:
        PlanError: A side is shorter than 8 pixels.
    """

    def __init__(
        self, channels: tuple[int, int, int], latent: int, image_shape: tuple[int, int, int], input_norm: InputNorm
    ) -> None:
        super().__init__()
        colours, height, width = image_shape
        if min(height, width) < SMALLEST:
            raise PlanError(
                f"The replay vae can't encode images of {height}x{width} pixels: sides must be at least {SMALLEST}. "
                "Choose another replay; list them with: dfkdbench list replays"
            )
        first, second, third = channels
        self._input_norm = input_norm
        self.layers = nn.Sequential(
            nn.Conv2d(colours, first, kernel_size=3, padding=1),
            nn.BatchNorm2d(first, eps=0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(first, second, kernel_size=3, padding=1),
            nn.BatchNorm2d(second, eps=0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Upsample(scale_factor=0.5),
            nn.Conv2d(second, third, kernel_size=3, stride=2, padding=1),
            nn.BatchNorm2d(third),
            nn.Upsample(scale_factor=0.5),
            nn.Flatten(),
        )
        width_of_features = third * _reduced(height) * _reduced(width)
        self.mean = nn.Linear(width_of_features, latent)
        self.log_variance = nn.Linear(width_of_features, latent)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance."""
        if self._input_norm == "columns":
            images = F.normalize(images, dim=2)
        elif self._input_norm == "image":
            images = F.normalize(images.flatten(1), dim=1).view_as(images)
        features = self.layers(images)
        return self.mean(features), self.log_variance(features)


def _reduced(side: int) -> int:
    """The side after halving, a convolution of stride 2, and halving."""
    return (side // 2 + 1) // 2 // 2

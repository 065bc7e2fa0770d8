"""Options of the VAE memory. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dfkdbench.recipe import Options

_BY_SIZE = "none: official for images of 32 pixels or more, a quarter or less of it below"


class TuningOptions(Options):
    """How latents are tuned before they are decoded."""

    steps: int = Field(1, ge=0, description="Adam steps on the latents; 0 decodes them as they are drawn.")
    lr: float = Field(0.02, gt=0, description="Learning rate of these steps; the first moves no coordinate further.")
    class_balance: float = Field(5.0, ge=0, description="Weight of the class balance, logarithm to base 10.")
    confidence: float = Field(1.0, ge=0, description="Weight of the teacher's confidence.")
    prior: float = Field(1.0, ge=0, description="Weight of mean 0 and variance 1 of every latent coordinate.")


class VaeOptions(Options):
    """Options of `vae`."""

    latent: int | None = Field(None, ge=1, description=f"Length of a latent, officially 1000; {_BY_SIZE}.")
    decoder_channels: tuple[int, int, int] | None = Field(
        None, description=f"Channels of the decoder, officially 128, 128, 64; {_BY_SIZE}."
    )
    encoder_channels: tuple[int, int, int] | None = Field(
        None, description=f"Channels of the encoder, officially 64, 128, 128; {_BY_SIZE}."
    )
    init_range: float = Field(0.08, gt=0, description="Weights start uniform within plus and minus this, biases at 0.")
    input_norm: Literal["columns", "image", "none"] = Field(
        "columns",
        description="L2 norm at the encoder's input: of every pixel column (official), of the image, or none.",
    )
    lr: float = Field(5e-4, gt=0, description="Learning rate of Adam for encoder and decoder.")
    cycle: int = Field(10, ge=1, description="Student steps in a cycle.")
    train_steps: int = Field(4, ge=0, description="First student steps of a cycle in which the VAE takes a step.")
    pixel_weight: float = Field(1.0, ge=0, description="Weight of the mean absolute error of the pixels.")
    logit_weight: float = Field(1.0, ge=0, description="Weight of the mean absolute error of the teacher's logits.")
    kl_weight: float = Field(1e-5, ge=0, description="Weight of the divergence of the latents from N(0, I).")
    leak_tuning_grad: bool = Field(
        True,
        description="The decoder also takes the gradient of the latent tuning before its step, as in the official "
        "code; false for the method as described.",
    )
    tuning: TuningOptions = Field(TuningOptions(), description="Tuning of the latents.")

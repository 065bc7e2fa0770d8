"""Options of the built-in parts. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dfkdbench.recipe import OptimizerOptions, Options

OutputNorm = Literal["batch_norm_no_affine", "batch_norm", "none"]
OutputActivation = Literal["tanh", "sigmoid", "none"]
KLReduction = Literal["batchmean", "mean"]

_KL_REDUCTION = "batchmean: mean over images of the divergence. mean: that divided by the number of classes."


class ConvNetworkOptions(Options):
    """The network that both `conv` and `frozen` use."""

    latent: int = Field(100, ge=1, description="Length of a latent, drawn from N(0, I).")
    channels: tuple[int, ...] = Field(
        (128, 128, 64),
        min_length=2,
        max_length=7,
        description="Channels after the linear layer and after each convolution but the last. Every convolution "
        "follows an upsampling by 2, so n entries make images 2^(n - 1) times as large as the first maps.",
    )
    stem_norm: bool = Field(True, description="Batch norm right after the linear layer.")
    norm_eps: float = Field(
        1e-5,
        gt=0,
        description="eps of the inner batch norms; 0.8 in the code of Chen et al. (2019) and its successors.",
    )
    slope: float = Field(0.2, ge=0, description="Negative slope of LeakyReLU.")
    output_activation: OutputActivation = Field("tanh", description="Activation after the last convolution.")
    output_norm: OutputNorm = Field(
        "batch_norm_no_affine",
        description="Normalisation of the images; without affine part they have zero mean and unit variance per "
        "channel, as the teacher's normalised input has.",
    )
    spectral_norm: bool = Field(False, description="Spectral norm on the convolutions.")


class ConvOptions(ConvNetworkOptions):
    """Options of `conv`."""

    optimizer: OptimizerOptions = Field(OptimizerOptions(), description="Optimiser of the network.")


class KLOptions(Options):
    """Options of `kl`."""

    temperature: float = Field(1.0, gt=0, description="Temperature T of both distributions.")
    temperature_squared: bool = Field(True, description="Multiply by T^2, so that gradients keep their scale.")
    reduction: KLReduction = Field("batchmean", description=_KL_REDUCTION)


class AdversarialKLOptions(Options):
    """Options of `adversarial_kl`."""

    temperature: float = Field(1.0, gt=0, description="Temperature T of both distributions; there is no factor T^2.")
    reduction: KLReduction = Field("batchmean", description=_KL_REDUCTION)


class AdversarialL1Options(Options):
    """Options of `adversarial_l1`."""

    form: Literal["plain", "log"] = Field(
        "plain", description="plain: -D. log: -ln(1 + D), the same direction with a step smaller by 1 + D."
    )


class ClassEntropyOptions(Options):
    """Options of `class_entropy`."""

    log_base: Literal["e", 2, 10] = Field("e", description="Base of the logarithm; a weight means nothing without it.")
    floor: float = Field(1e-12, gt=0, description="Smallest mean probability that enters the logarithm.")


class BatchNormOptions(Options):
    """Options of `batch_norm`."""

    first_layer_weight: float = Field(1.0, ge=0, description="Weight of the first layer; the others weigh 1.")
    eps: float = Field(1e-8, gt=0, description="Rounds off the norms at 0, where their gradient is undefined.")


class RealOptions(Options):
    """Options of `real`."""

    augment: bool = Field(False, description="Random crop (an eighth of the side) and horizontal mirror.")

"""Options of the built-in parts. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from dfkdbench.recipe import OptimizerOptions, Options

OutputNorm = Literal["batch_norm_no_affine", "batch_norm", "none"]
OutputActivation = Literal["tanh", "sigmoid", "none"]
KLReduction = Literal["batchmean", "mean"]

_KL_REDUCTION = "batchmean: mean over images of the divergence. mean: that divided by the number of classes."
Augmentation = Literal["crop_flip", "crop", "none"]


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
    first_maps: int = Field(
        16,
        ge=1,
        description="Largest side of the first maps in pixels. Where `channels` gives larger ones, further "
        "convolutions follow, each with half the channels of the one before, 16 at least: 224 x 224 pixels start from "
        "14 x 14.",
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

    @model_serializer(mode="wrap")
    def _without_later_fields(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A field that is younger than the first plans is left out at its default: their ids stay what they were."""
        tree: dict[str, Any] = dump(self)
        if self.first_maps == type(self).model_fields["first_maps"].default:
            del tree["first_maps"]
        return tree


class ConvOptions(ConvNetworkOptions):
    """Options of `conv`."""

    optimizer: OptimizerOptions = Field(OptimizerOptions(), description="Optimiser of the network.")


class PixelsOptions(Options):
    """Options of `pixels`."""

    optimizer: OptimizerOptions = Field(
        OptimizerOptions(lr=0.1), description="Optimiser of the pixels, made anew for every batch of images."
    )
    batch_size: int | None = Field(None, ge=1, description="Images optimised together, or none: the run's batch size.")
    space: Literal["input", "unit"] = Field(
        "input", description="What is optimised: the teacher's normalised input, or pixels in units of 0..1."
    )
    start: Literal["normal", "uniform"] = Field(
        "normal", description="Images start from N(0, 1) in that space, or uniform over the range of valid pixels."
    )
    enlarge: int = Field(
        1,
        ge=1,
        description="What is optimised has sides smaller by this factor and is enlarged bilinearly; 1 for pixels "
        "themselves, 2 or more for images without detail of single pixels.",
    )
    bounds: Literal["none", "clip", "rescale"] = Field(
        "none",
        description="After each step: nothing, clip to valid pixels, or stretch the batch as a whole onto their range.",
    )
    jitter: int = Field(
        0, ge=0, description="Largest shift of the batch in each direction, in pixels; it wraps around."
    )
    flip: bool = Field(False, description="Mirror the whole batch in half of the steps.")
    labels: Literal["balanced", "random"] = Field(
        "balanced", description="Classes in turn, going on where the last batch ended, or uniformly at random."
    )
    capacity: int = Field(10_000, ge=1, description="Finished images that are kept; the oldest make room.")
    augmentation: Augmentation = Field(
        "none", description="Of images drawn for the student: random crop (an eighth of the side, black), and mirror."
    )


class PooledOptions(Options):
    """Options that generators with a pool of finished images share."""

    latent: int = Field(256, ge=1, description="Length of a latent, drawn from N(0, I).")
    channels: tuple[int, int, int] = Field(
        (128, 128, 64), description="Channels after the linear layer, the first and the second convolution."
    )
    batch_size: int | None = Field(None, ge=1, description="Images made in a call, or none: the recipe's batch size.")
    augmentation: Augmentation = Field(
        "crop_flip", description="How teacher and student see images: cropped with black padding, mirrored as well."
    )
    capacity: int = Field(65_536, ge=1, description="Finished images that are kept; the oldest make room.")
    eight_bit: bool = Field(True, description="Round finished images to 256 levels, as image files do.")


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


class JSDisagreementOptions(Options):
    """Options of `js_disagreement`."""

    temperature: float = Field(3.0, gt=0, description="Temperature T of both distributions.")
    floor: float = Field(
        0.01, gt=0, lt=0.5, description="Probabilities are clamped to [floor, 1 - floor]; 1e-12 is as good as none."
    )
    reduction: Literal["mean", "batchmean"] = Field(
        "mean", description="mean: over images and classes. batchmean: sum over classes, mean over images."
    )
    direction: Literal["mixture_first", "textbook"] = Field(
        "mixture_first", description="mixture_first: KL(mixture || output). textbook: KL(output || mixture)."
    )
    detach_teacher: bool = Field(True, description="Gradient reaches the images through the student alone.")


class BatchNormOptions(Options):
    """Options of `batch_norm`."""

    first_layer_weight: float = Field(1.0, ge=0, description="Weight of the first layer; the others weigh 1.")
    eps: float = Field(1e-8, gt=0, description="Rounds off the norms at 0, where their gradient is undefined.")


class LabelOptions(Options):
    """Options of `label`."""

    temperature: float = Field(1.0, gt=0, description="Temperature of the teacher's output.")


class TotalVariationOptions(Options):
    """Options of `total_variation`."""

    norm: Literal["l2", "l1"] = Field(
        "l2", description="Of each direction's differences: one norm over the batch, or their mean magnitude."
    )


class L2NormOptions(Options):
    """Options of `l2_norm`."""

    over: Literal["batch", "image"] = Field(
        "batch", description="One norm of the whole batch, or the mean of each image's."
    )


class AttentionOptions(Options):
    """Options of `attention`: how it is fitted by the judge once the student is final."""

    samples: int | None = Field(
        None, ge=1, description="Labelled training images it is fitted on, or none: as many as `fraction` says."
    )
    fraction: float = Field(
        0.01,
        gt=0,
        le=1,
        description="Share of the training images: 1 % is the 600 of MNIST and the 500 of CIFAR-10 in the official "
        "code.",
    )
    pick: Literal["first", "random"] = Field(
        "first",
        description="first: as stored, whatever their classes, as in the official code. random: the same ones for all "
        "seeds, for data sets that are stored class by class.",
    )
    epochs: int = Field(
        100,
        ge=1,
        description="Passes over these images; the last one counts. Official code: 100 on MNIST, 30 on CIFAR-10.",
    )
    batch_size: int = Field(100, ge=1, description="Images in a step, as in the official code.")
    optimizer: OptimizerOptions = Field(
        OptimizerOptions(lr=0.01), description="Optimiser of the linear layer; Adam at 0.01 in the official code."
    )
    start: Literal["random", "mean"] = Field(
        "random",
        description="random: the framework's usual start of a linear layer. mean: zeros, so that every head starts "
        "with the same weight.",
    )
    order: Literal["shuffled", "stored"] = Field(
        "shuffled", description="Images of an epoch in a new random order, or in the data set's own."
    )


class RealOptions(Options):
    """Options of `real`."""

    augmentation: Augmentation = Field(
        "none", description="Random crop (an eighth of the side, with a black border), and mirror."
    )

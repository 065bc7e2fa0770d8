"""How good a network is on labelled images. Runs in the judge only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dfkdbench.datasets.images import ImageSet, channel_scale
from dfkdbench.errors import DataError
from dfkdbench.figures.calibration import calibration_error
from dfkdbench.plan import Plan
from dfkdbench.weights import load_weights, parse_weights

BATCH = 1000
BATCH_PIXELS = 1 << 22


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found. Everything but `predictions` is plain numbers.

    Attributes:
        accuracy: Images whose highest logit is that of their label, in percent.
        correct: Likewise, as a count.
        total: Images evaluated.
        class_accuracies: Per class, in percent; None for a class without images.
        calibration_error: In percent; see `dfkdbench.figures.calibration`.
        non_finite: Images with a logit that is NaN or infinite. They count as wrong, with confidence 0.
        predictions: Predicted class of every image in order, (N,) int64 on the CPU; -1 where not finite.
    """

    accuracy: float
    correct: int
    total: int
    class_accuracies: tuple[float | None, ...]
    calibration_error: float
    non_finite: int
    predictions: Tensor = field(repr=False, compare=False)

    @property
    def worst_class_accuracy(self) -> float:
        """Lowest of the class accuracies, in percent."""
        return min(accuracy for accuracy in self.class_accuracies if accuracy is not None)

    @property
    def worst_class(self) -> int:
        """The class of that accuracy; the first of equals."""
        return self.class_accuracies.index(self.worst_class_accuracy)


def evaluate(
    network: nn.Module,
    images: ImageSet,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str,
    batch_size: int | None = None,
) -> Evaluation:
    """Accuracy of a network, in eval mode and without gradient; each module's mode is restored afterwards.

    Deterministic: fixed order and batches. With a set from `make_resident` nothing is read back from the
    device before the last batch; pixels stay uint8 and are normalised batch by batch.

    Args:
        network: On `device`; takes normalised images (B, C, H, W), gives logits (B, K).
        mean: Per channel, of pixels scaled to 0..1.
        std: Likewise.
        batch_size: Images in a pass, or none for `fitting_batch`.

    Raises:
        DataError: `mean` and `std` that don't fit the images, or another number of logits than classes.
    """
    (evaluation,) = evaluate_each(network, lambda batch: (network(batch),), 1, images, mean, std, device, batch_size)
    return evaluation


def evaluate_each(
    network: nn.Module,
    outputs_of: Callable[[Tensor], Sequence[Tensor]],
    count: int,
    images: ImageSet,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str,
    batch_size: int | None = None,
) -> list[Evaluation]:
    """As `evaluate`, of several outputs of one network at once, in one pass over the images.

    Args:
        outputs_of: Normalised images (B, C, H, W) -> `count` logits (B, K) each.

    Raises:
        DataError: As `evaluate`.
    """
    predictions = torch.empty(count, len(images), dtype=torch.int64, device=device)
    confidences = torch.empty(count, len(images), dtype=torch.float32, device=device)
    labels = torch.empty(len(images), dtype=torch.int64, device=device)
    start = 0
    with torch.inference_mode(), eval_mode(network):
        for normalised, truth in normalised_batches(images, mean, std, device, batch_size):
            place = slice(start, start + len(truth))
            for row, output in enumerate(outputs_of(normalised)):
                logits = output.float()
                if logits.shape != (len(truth), images.classes):
                    raise DataError(
                        f"The network gave logits of shape {tuple(logits.shape)} for {len(truth)} images; "
                        f"the data set has {images.classes} classes."
                    )
                confidences[row, place], predictions[row, place] = predict(logits)
            labels[place] = truth.to(device, non_blocking=True)
            start = place.stop
    truths = labels.cpu()
    pairs = zip(predictions.cpu(), confidences.cpu(), strict=True)
    return [summarise(predicted, confidence, truths, images.classes) for predicted, confidence in pairs]


def fitting_batch(shape: tuple[int, int, int]) -> int:
    """Images of a shape (C, H, W) in a pass of an evaluation: `BATCH` up to 64 x 64 pixels, fewer of larger ones.

    So the memory of a pass does not depend on the images' size: at 224 x 224 pixels it is 83 images.
    """
    return max(1, min(BATCH, BATCH_PIXELS // (shape[1] * shape[2])))


def normalised_batches(
    images: ImageSet,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str,
    batch_size: int | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, normalised and on the device, with their labels where the set has them.

    Raises:
        DataError: `mean` and `std` that don't fit the images.
    """
    factor, offset = channel_scale(mean, std, images.shape[0], device)
    for pixels, truth in images.batches(batch_size or fitting_batch(images.shape)):
        yield torch.addcmul(offset, pixels.to(device, non_blocking=True).float(), factor), truth


def predict(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Confidence (B,) and class (B,) of each image from logits (B, K); 0 and -1 where a logit is not finite."""
    confidence, prediction = logits.softmax(dim=1).max(dim=1)
    finite = logits.isfinite().all(dim=1)
    return confidence.where(finite, 0.0), prediction.where(finite, -1)


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """The network in eval mode; afterwards every module is back in the mode it had."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def summarise(predictions: Tensor, confidences: Tensor, labels: Tensor, classes: int) -> Evaluation:
    """The figures of an evaluation from its predictions, confidences and labels, each (N,) on the CPU."""
    hits = predictions == labels
    totals = torch.bincount(labels, minlength=classes).tolist()
    hits_per_class = torch.bincount(labels[hits], minlength=classes).tolist()
    correct = int(hits.sum())
    return Evaluation(
        accuracy=100 * correct / len(labels),
        correct=correct,
        total=len(labels),
        class_accuracies=tuple(
            100 * right / total if total else None for right, total in zip(hits_per_class, totals, strict=True)
        ),
        calibration_error=calibration_error(confidences, hits),
        non_finite=int((predictions < 0).sum()),
        predictions=predictions,
    )


def agreement(first: Tensor, second: Tensor) -> float:
    """Images for which two networks decide for the same class, in percent.

    Args:
        first: Predicted class of every image, (N,); -1 where there is none, which agrees with nothing.
        second: Likewise of the same images in the same order.

    Raises:
        DataError: Predictions for different numbers of images.
    """
    if len(first) != len(second):
        raise DataError(f"Agreement needs predictions for one set; given {len(first)} and {len(second)} images.")
    same = (first == second) & (first >= 0)
    return 100 * int(same.sum()) / len(first)


def judge_student(network: nn.Module, data: bytes, origin: str, plan: Plan, test_set: ImageSet) -> Evaluation:
    """How good the weights in the bytes of a safetensors file are on a test set.

    Args:
        network: The plan's student, on the device that evaluates; takes the weights.
        origin: Where the bytes come from, for messages.

    Raises:
        IntegrityError: The bytes are no weights of this architecture.
    """
    load_weights(network, parse_weights(data, origin), origin)
    device = next(network.parameters()).device
    return evaluate(network, test_set, plan.input.mean, plan.input.std, device)

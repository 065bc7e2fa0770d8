"""Readouts: what turns the logits of a final student's heads into one, fitted on labelled real samples.

All of this runs on the judge's side, and the fit only after the worker has ended: the student does not change any more.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from safetensors.torch import save
from torch import Tensor, nn

from dfkdbench.assembly import import_target
from dfkdbench.datasets.images import ImageSet, TensorImages
from dfkdbench.errors import DataError, PlanError
from dfkdbench.evaluate import eval_mode, evaluate_each, normalised_batches
from dfkdbench.files import sha256_of, write_atomically
from dfkdbench.plan import InputSpec, Plan, PlannedPart
from dfkdbench.records import HeadFigures, ReadoutFigures
from dfkdbench.rng import derive_seed
from dfkdbench.runfolder import RunFolder
from dfkdbench.seams import read_signal

_HEADS = frozenset({"heads"})


class Readout(Protocol):
    """A fitted readout: a module, so that it has a state and can be moved to a device."""

    def __call__(self, heads: Tensor) -> Tensor:
        """Logits (B, K) from those of the heads, (N, B, K)."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """What was fitted."""
        ...

    def to(self, device: torch.device) -> Readout:
        """The same on another device."""
        ...


class ReadoutAggregator(Protocol):
    """What an aggregator that provides `readout` offers beside its work in training."""

    @staticmethod
    def choose_samples(options: Any, available: int) -> Tensor:
        """Indices (M,) of the training images that it is to be fitted on."""
        ...

    @staticmethod
    def fit_readout(options: Any, heads: Tensor, labels: Tensor, rng: torch.Generator) -> Readout:
        """A readout from the heads' logits (N, M, K) for M images and their classes (M,), all on the CPU."""
        ...


def take_samples(part: PlannedPart, images: ImageSet) -> TensorImages:
    """The labelled training images that a readout is fitted on.

    Raises:
        PlanError: It wants more than there are.
    """
    wanted = _aggregator(part).choose_samples(_options(part), len(images))
    if len(wanted) > len(images):
        raise PlanError(
            f"The aggregator '{part.name}' is to be fitted on {len(wanted):,} labelled training images, and the data "
            f"set has {len(images):,}. Say --set aggregator.samples={len(images)} or less."
        )
    pixels, labels = images.take(wanted)
    return TensorImages(pixels, labels, images.classes)


def judge_heads(
    plan: Plan, folder: RunFolder, student: nn.Module, heads: int, test_set: ImageSet, samples: ImageSet | None
) -> HeadFigures:
    """Accuracies of a final student's heads, of all together and of the plan's readout, which is fitted here.

    Args:
        folder: Takes the fitted readout.
        student: With its final weights, on the device that evaluates.
        heads: How many the model's description promises.
        samples: Labelled training images for the readout, from `take_samples`.

    Raises:
        DataError: The model gives another number of heads.
    """
    if plan.readout is None or samples is None:
        accuracies, ensemble = _accuracies(plan, student, heads, test_set, None)
        return HeadFigures(tuple(accuracies), ensemble)
    readout = fit_readout(plan, plan.readout, student, samples)
    weights = save({name: tensor.detach().cpu().contiguous() for name, tensor in readout.state_dict().items()})
    write_atomically(folder.readout, weights)
    (*accuracies, accuracy), ensemble = _accuracies(plan, student, heads, test_set, readout)
    fitted = ReadoutFigures(plan.readout.name, accuracy, len(samples), sha256_of(weights))
    return HeadFigures(tuple(accuracies), ensemble, fitted)


def fit_readout(plan: Plan, part: PlannedPart, student: nn.Module, samples: ImageSet) -> Readout:
    """Fits a plan's readout to a final student, in eval mode and without gradient. Seeded by the plan."""
    rng = torch.Generator().manual_seed(derive_seed(plan.seed, "readout"))
    heads, labels = _head_logits(student, samples, plan.input)
    return _aggregator(part).fit_readout(_options(part), heads, labels, rng).to(_device_of(student))


def _accuracies(
    plan: Plan, student: nn.Module, head_count: int, test_set: ImageSet, readout: Readout | None
) -> tuple[list[float], float]:
    """Accuracies of every head and then of a readout, and that of the student's own logits; one pass over the set."""

    def outputs_of(images: Tensor) -> list[Tensor]:
        signal = read_signal(student, images, _HEADS)
        if len(signal.heads) != head_count:
            raise DataError(
                f"The model '{plan.student.name}' gave {len(signal.heads)} heads; its description says {head_count}."
            )
        read = [] if readout is None else [readout(torch.stack(signal.heads))]
        return [signal.logits, *signal.heads, *read]

    count = head_count + (1 if readout is None else 2)
    spec = plan.input
    ensemble, *others = evaluate_each(student, outputs_of, count, test_set, spec.mean, spec.std, _device_of(student))
    return [found.accuracy for found in others], ensemble.accuracy


def _head_logits(student: nn.Module, images: ImageSet, spec: InputSpec) -> tuple[Tensor, Tensor]:
    """Logits of every head (N, M, K) and the classes (M,), on the CPU."""
    heads, labels = [], []
    with torch.no_grad(), eval_mode(student):
        for batch, truth in normalised_batches(images, spec.mean, spec.std, _device_of(student)):
            heads.append(torch.stack(read_signal(student, batch, _HEADS).heads).cpu())
            labels.append(truth.cpu())
    return torch.cat(heads, dim=1), torch.cat(labels)


def _device_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _aggregator(part: PlannedPart) -> ReadoutAggregator:
    aggregator: ReadoutAggregator = import_target(part.target)
    return aggregator


def _options(part: PlannedPart) -> Any:
    return import_target(part.options_type).model_validate(part.options, strict=False)

"""What a model really gives on a data set's images, found out before anything runs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from dfkdbench.compatibility import check_sizes
from dfkdbench.descriptors import SIGNALS, DatasetSpec, ModelSpec
from dfkdbench.errors import DfkdbenchError, PlanError
from dfkdbench.models.build import build_network
from dfkdbench.registry import Owned
from dfkdbench.signals import Signal, read_signal

_TAPPED = "Let its factory return dfkdbench.models.tapped.tapped(network)."


def settle(owned: Owned[ModelSpec], dataset: DatasetSpec) -> Owned[ModelSpec]:
    """The model, built once and asked for what its description promises; a family's member says what it has.

    Raises:
        PlanError: It can't be built for these images, gives no logits, or lacks a signal that it promises.
        DfkdbenchError: Its factory refuses these images.
    """
    model = owned.item
    check_sizes(dataset, model)
    signal = _ask(model, dataset, _build(owned, dataset))
    found = _signals_of(signal)
    if model.family:
        return replace(owned, item=replace(model, signals=model.signals & found))
    for name in sorted(model.signals - found):
        raise PlanError(f"The model '{model.name}' of {owned.distribution} promises {name} and gives none. {_TAPPED}")
    if len(signal.heads) != model.heads:
        raise PlanError(
            f"The model '{model.name}' of {owned.distribution} gives {len(signal.heads)} heads; its description "
            f"says {model.heads}."
        )
    return owned


def check_final_layer(owned: Owned[ModelSpec], dataset: DatasetSpec) -> None:
    """Refuses a teacher whose last linear layer does not give its logits, where that layer is asked for.

    Raises:
        PlanError: It has no linear layer, or one of another shape than (classes, features).
    """
    linear = [layer for layer in _build(owned, dataset).modules() if isinstance(layer, nn.Linear)]
    if not linear or linear[-1].out_features != dataset.classes:
        last = f"its last one has {linear[-1].out_features} outputs" if linear else "it has none"
        raise PlanError(
            f"The method reads the teacher's final layer, a linear one with {dataset.classes} outputs, and of "
            f"'{owned.item.name}' {last}. Choose another --pair (dfkdbench list models)."
        )


def _build(owned: Owned[ModelSpec], dataset: DatasetSpec) -> nn.Module:
    model, shape = owned.item, (dataset.channels, dataset.classes, dataset.image_size)
    try:
        network: object = build_network(model, *shape)
    except DfkdbenchError:
        raise
    except Exception as error:  # a factory may be anyone's code
        raise _refusal(model, dataset, f"can't be built: {_told(error)}") from error
    if not isinstance(network, nn.Module):
        raise _refusal(model, dataset, f"is a {type(network).__name__} and no torch.nn.Module")
    return network.eval()


def _ask(model: ModelSpec, dataset: DatasetSpec, network: nn.Module) -> Signal:
    images = torch.zeros(2, dataset.channels, dataset.image_size, dataset.image_size)
    with torch.no_grad():
        try:
            logits: object = network(images)
        except Exception as error:  # likewise
            raise _refusal(model, dataset, f"fails on a batch of two: {_told(error)}") from error
        if not isinstance(logits, Tensor) or logits.shape != (2, dataset.classes):
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise _refusal(model, dataset, f"gives {given} for a batch of two, not logits (2, {dataset.classes})")
        try:
            return read_signal(network, images, frozenset(SIGNALS))
        except Exception as error:  # likewise
            raise _refusal(model, dataset, f"does not take taps: {_told(error)}. {_TAPPED[:-1]}") from error


def _signals_of(signal: Signal) -> frozenset[str]:
    given = {
        "features": signal.features is not None,
        "stages": bool(signal.stages),
        "batch_norm": bool(signal.batch_norm),
        "batch_norm_means": bool(signal.batch_norm_means),
        "heads": bool(signal.heads),
    }
    return frozenset(name for name in SIGNALS if given[name])


def _refusal(model: ModelSpec, dataset: DatasetSpec, why: str) -> PlanError:
    shape = f"{dataset.channels}x{dataset.image_size}x{dataset.image_size}"
    return PlanError(
        f"The model '{model.name}' for images of {shape} and {dataset.classes} classes ({dataset.name}) {why}."
    )


def _told(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300].rstrip(".")

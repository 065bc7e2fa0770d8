"""The core's own plugin: neutral parts, controls, models and data sets, through the same hooks as everyone's."""

from __future__ import annotations

from collections.abc import Iterable

from dfkdbench.commands import COMMANDS, Command
from dfkdbench.controls import CONTROLS
from dfkdbench.datasets.specs import DATASETS
from dfkdbench.descriptors import API as API
from dfkdbench.descriptors import Component, DatasetSpec, Kind, Method, ModelSpec
from dfkdbench.executors.descriptor import ExecutorSpec
from dfkdbench.executors.specs import EXECUTORS
from dfkdbench.hookspecs import hookimpl
from dfkdbench.models.specs import MODELS, describe_timm
from dfkdbench.parts.specs import COMPONENTS


def _of_kind(*kinds: Kind) -> list[Component]:
    return [component for component in COMPONENTS if component.kind in kinds]


@hookimpl
def dfkdbench_generators() -> Iterable[Component]:
    """The neutral generators."""
    return _of_kind("generator")


@hookimpl
def dfkdbench_losses() -> Iterable[Component]:
    """The neutral losses and combiners."""
    return _of_kind("loss", "combiner")


@hookimpl
def dfkdbench_replays() -> Iterable[Component]:
    """The replay that remembers nothing."""
    return _of_kind("replay")


@hookimpl
def dfkdbench_aggregators() -> Iterable[Component]:
    """The neutral aggregators."""
    return _of_kind("aggregator")


@hookimpl
def dfkdbench_methods() -> Iterable[Method]:
    """The controls that every table shows."""
    return CONTROLS


@hookimpl
def dfkdbench_models() -> Iterable[ModelSpec]:
    """The architectures of the usual pairs, and those of timm."""
    return [*MODELS, describe_timm()]


@hookimpl
def dfkdbench_datasets() -> Iterable[DatasetSpec]:
    """The usual data sets."""
    return DATASETS


@hookimpl
def dfkdbench_commands() -> Iterable[Command]:
    """The commands of the core."""
    return COMMANDS


@hookimpl
def dfkdbench_executors() -> Iterable[ExecutorSpec]:
    """This machine, a Ray cluster, SLURM."""
    return EXECUTORS

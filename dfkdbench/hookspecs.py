"""The hooks. A plugin implements those it needs, as module-level functions marked with `dfkdbench.hookimpl`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from dfkdbench.commands import Command
from dfkdbench.descriptors import Component, DatasetSpec, Method, ModelSpec
from dfkdbench.executors.descriptor import ExecutorSpec

PROJECT = "dfkdbench"
ENTRY_POINT_GROUP = "dfkdbench"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def dfkdbench_generators() -> Iterable[Component]:
    """Generators this plugin offers. Called once, when a command first needs the registry. Import nothing heavy."""


@hookspec
def dfkdbench_losses() -> Iterable[Component]:
    """Losses, and combiners of losses, this plugin offers. Called once, as above."""


@hookspec
def dfkdbench_replays() -> Iterable[Component]:
    """Replay memories this plugin offers. Called once, as above."""


@hookspec
def dfkdbench_aggregators() -> Iterable[Component]:
    """Aggregators of several predictions this plugin offers. Called once, as above."""


@hookspec
def dfkdbench_methods() -> Iterable[Method]:
    """Methods this plugin offers. Called once, as above."""


@hookspec
def dfkdbench_models() -> Iterable[ModelSpec]:
    """Architectures this plugin offers. Called once, as above."""


@hookspec
def dfkdbench_datasets() -> Iterable[DatasetSpec]:
    """Data sets this plugin offers. Called once, as above. Their loaders run in the judge only."""


@hookspec
def dfkdbench_commands() -> Iterable[Command]:
    """Commands this plugin adds to `dfkdbench`. Called once, as above; not by `dfkdbench --help`.

    A command's own module is imported when the command is asked for. A name of the core's is refused.
    """


@hookspec
def dfkdbench_executors() -> Iterable[ExecutorSpec]:
    """Places that this plugin can make the runs of a campaign in. Called once, as above."""


@hookspec
def dfkdbench_run_started(run_id: str, plan: Mapping[str, Any], isolation: str) -> None:
    """The worker of a run is up and sealed. Called in the judge, once per start or resume."""


@hookspec
def dfkdbench_report(run_id: str, report: Mapping[str, Any]) -> None:
    """The worker reported how far it is: `fraction`, `seconds`, counters, losses. Called in the judge."""


@hookspec
def dfkdbench_evaluated(run_id: str, evaluation: Mapping[str, Any]) -> None:
    """A snapshot was evaluated on the test set. Not delivered to distributions that take part in the run."""


@hookspec
def dfkdbench_run_finished(run_id: str, result: Mapping[str, Any]) -> None:
    """The record of a run is written, also of one that ended with a failure status. Called in the judge.

    Not delivered to distributions that take part in the run.
    """

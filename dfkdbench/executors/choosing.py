"""An executor from its name and options."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dfkdbench.errors import PlanError
from dfkdbench.executors.descriptor import ExecutorSpec
from dfkdbench.executors.jobs import Executor, Resources
from dfkdbench.recipe import Options
from dfkdbench.registry import LIST_COMMANDS
from dfkdbench.validation import validate


def make_executor(spec: ExecutorSpec, options: Mapping[str, Any], each: Resources, folder: Path) -> Executor:
    """The executor of a description.

    Args:
        each: What every job needs.
        folder: The runs folder; an executor keeps files of its own in `KEPT` below it.

    Raises:
        ConfigError: An option it does not take.
        PlanError: What it needs is not installed, or not one job fits.
        RunError: Where jobs run can't be reached.
    """
    if spec.requires and importlib.util.find_spec(spec.requires) is None:
        raise PlanError(
            f"The executor '{spec.name}' needs {spec.requires}, which is not installed. "
            f'Install it with: pip install "dfkdbench[{spec.extra}]", or choose another: {LIST_COMMANDS["executor"]}'
        )
    checked = check_options(spec, options)
    executor: Executor = _import(spec.target)(checked, each, folder)
    return executor


def check_options(spec: ExecutorSpec, options: Mapping[str, Any]) -> Options:
    """An executor's options, checked strictly.

    Raises:
        ConfigError: One it does not take, or a wrong value.
    """
    checked: Options = validate(options_of(spec), dict(options), "executor.", f"dfkdbench describe {spec.name}")
    return checked


def options_of(spec: ExecutorSpec) -> type[Options]:
    """The model of an executor's options."""
    model: type[Options] = _import(spec.options)
    return model


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)

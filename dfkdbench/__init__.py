"""The referee of data-free knowledge distillation: any method, one sealed protocol.

    import dfkdbench

    results = dfkdbench.run(plugin="rdskd", dataset="digits", seeds=[0])
    table = dfkdbench.load_results("runs")

Importing the package is cheap: torch and pandas are imported when they are first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfkdbench.api import load_results, run
    from dfkdbench.commands import Command
    from dfkdbench.descriptors import API, Component, DatasetSpec, Method, ModelSpec, Preset, Tuning
    from dfkdbench.errors import DfkdbenchError
    from dfkdbench.executors.descriptor import ExecutorSpec
    from dfkdbench.hookspecs import hookimpl
    from dfkdbench.recipe import (
        LossChoice,
        OptimizerOptions,
        Options,
        PartChoice,
        Phase,
        Recipe,
        StudentUpdateOptions,
    )

__version__ = "0.1.0"
PROTOCOL = "2026.1"

_HOME = {
    "run": "api",
    "load_results": "api",
    "Command": "commands",
    "API": "descriptors",
    "Component": "descriptors",
    "DatasetSpec": "descriptors",
    "Method": "descriptors",
    "ModelSpec": "descriptors",
    "Preset": "descriptors",
    "Tuning": "descriptors",
    "DfkdbenchError": "errors",
    "ExecutorSpec": "executors.descriptor",
    "hookimpl": "hookspecs",
    "LossChoice": "recipe",
    "OptimizerOptions": "recipe",
    "Options": "recipe",
    "PartChoice": "recipe",
    "Phase": "recipe",
    "Recipe": "recipe",
    "StudentUpdateOptions": "recipe",
}

__all__ = [
    "API",
    "PROTOCOL",
    "Command",
    "Component",
    "DatasetSpec",
    "DfkdbenchError",
    "ExecutorSpec",
    "LossChoice",
    "Method",
    "ModelSpec",
    "OptimizerOptions",
    "Options",
    "PartChoice",
    "Phase",
    "Preset",
    "Recipe",
    "StudentUpdateOptions",
    "Tuning",
    "__version__",
    "hookimpl",
    "load_results",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dfkdbench' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"dfkdbench.{_HOME[name]}"), name)

"""A method on data that come with the package, planned, assembled or run: for the tests of a method's own plugin."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

import dfkdbench
from dfkdbench.assembly import Assembly
from dfkdbench.config import parse_setting, resolve
from dfkdbench.files import sha256_of
from dfkdbench.places import assets_folder
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.records import Result
from dfkdbench.registry import Registry

_UNKNOWN_HASH = "0" * 64


def registry_with(name: str, module: str) -> Registry:
    """The built-in parts and one plugin module, whether it is installed or not."""
    return Registry([importlib.metadata.EntryPoint(name, module, "dfkdbench")])


def pinned_weights(teacher: str) -> Path:
    """The weights of a teacher of the digits, of seed 0, that comes with the package."""
    return assets_folder() / "teachers" / f"digits-{teacher}-s0" / "weights.safetensors"


@dataclass(frozen=True)
class MethodRuns:
    """Runs of a method at the smallest budget.

    Attributes:
        pair: Where none is asked for.
    """

    registry: Registry
    method: str
    pair: str = "lenet_s:lenet_xs"

    def plan(self, *settings: str, pair: str = "", dataset: str = "digits", budget: str = "smoke") -> Plan:
        """A plan of the method with settings as after `--set`; a teacher that does not come along has no hash."""
        pair = pair or self.pair
        spec = self.registry.datasets.get(dataset)
        teacher, student = (self.registry.models.get(name) for name in pair.split(":"))
        cell = Cell(spec, teacher, student, budget, spec.item.budgets[budget])
        method = self.registry.methods.get(self.method)
        overrides = [parse_setting(text) for text in settings]
        resolved = resolve(self.registry, method.item, (dataset, pair, budget), overrides)
        weights = pinned_weights(teacher.item.name)
        sha256 = sha256_of(weights.read_bytes()) if weights.exists() else _UNKNOWN_HASH
        return make_plan(method, resolved, cell, {"teacher": sha256}, 0, "cpu", _UNKNOWN_HASH)

    def assemble(self, *settings: str, **cell: str) -> Assembly:
        """All parts of such a run on the digits, on the CPU."""
        planned = self.plan(*settings, **cell)
        return Assembly(planned, [pinned_weights(planned.teachers[0].model.name)], torch.device("cpu"))

    def run(self, out: Path, plugin: str = "", **request: Any) -> Result:
        """Runs the method, or another plugin beside it, on the digits in this process with one thread."""
        threads = torch.get_num_threads()
        try:
            with patch("dfkdbench.bench.load_registry", lambda: self.registry):
                (result,) = dfkdbench.run(
                    plugin or self.method,
                    "digits",
                    budget="smoke",
                    out=out,
                    isolation="in-process",
                    threads=1,
                    **request,
                )
        finally:
            torch.set_num_threads(threads)
        return result

"""The method, cell and recipe that a request names."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from dfkdbench.compatibility import refuse_foreign_real_samples
from dfkdbench.config import Resolved, parse_loss, parse_setting, read_config_file, resolve, several_teachers
from dfkdbench.descriptors import Method
from dfkdbench.errors import unknown_name
from dfkdbench.models.settling import settle
from dfkdbench.pairs import find_pair
from dfkdbench.plan import Cell
from dfkdbench.registry import Owned, Registry

if TYPE_CHECKING:
    from dfkdbench.bench import Request


def look_up(registry: Registry, request: Request) -> tuple[Owned[Method], Cell, Resolved]:
    """The method, cell and recipe that a request names.

    Raises:
        DfkdbenchError: Anything of these that is not there or does not fit.
    """
    method = registry.methods.get(request.plugin)
    cell = _find_cell(registry, request.dataset, request.pair, request.budget)
    return method, cell, resolve_for(registry, method, cell, request)


@functools.lru_cache(maxsize=64)
def _find_cell(registry: Registry, dataset_name: str, pair: str | None, budget: str | None) -> Cell:
    """The cell of these names. Remembered, since its networks are built to be looked at."""
    dataset = registry.datasets.get(dataset_name)
    spec = dataset.item
    teacher, student = find_pair(registry, pair or spec.pairs[0], spec.pairs)
    budget_name = budget or spec.default_budget
    if budget_name not in spec.budgets:
        raise unknown_name("budget", budget_name, spec.budgets, f"dfkdbench describe {spec.name}")
    first, second = (settle(model, spec) for model in (teacher, student))
    return Cell(dataset, first, second, budget_name, spec.budgets[budget_name])


def resolve_for(registry: Registry, method: Owned[Method], cell: Cell, request: Request) -> Resolved:
    """The recipe of a request, checked for what only the core's own code may see."""
    names = (cell.dataset.item.name, cell.pair, cell.budget_name)
    resolved = resolve(registry, method.item, names, _overrides(registry, request))
    refuse_foreign_real_samples(method, resolved)
    return resolved


def _overrides(registry: Registry, request: Request) -> list[tuple[str, Any, str]]:
    """All layers above the presets, in rising precedence."""
    layers = read_config_file(request.config_file) if request.config_file else []
    for slot in ("generator", "replay", "aggregator", "combiner"):
        name = getattr(request, slot)
        if name is not None:
            registry.components[slot].get(name)
            layers.append((slot, name, f"--{slot}"))
    if request.aggregator is None:
        layers += several_teachers(request.teacher_count)
    layers += [parse_loss(registry, text) for text in request.losses]
    layers += [parse_setting(text) for text in request.settings]
    return layers

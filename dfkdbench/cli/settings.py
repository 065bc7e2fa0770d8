"""Every setting of a resolved recipe with its value and origin, spelled as `--set` takes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tabulate import tabulate

from dfkdbench.config import LOSS_GROUPS, SLOTS, Resolved


def iterate_settings(resolved: Resolved) -> Iterator[tuple[str, Any, str]]:
    """(key, value, origin) of every setting."""
    for key, value in _values(resolved):
        origin = next(
            (resolved.origins[prefix] for prefix in _prefixes(key) if prefix in resolved.origins), "method or default"
        )
        yield key, value, origin


def settings_table(resolved: Resolved) -> str:
    """The settings as an aligned table."""
    rows = [(key, json.dumps(value), origin) for key, value, origin in iterate_settings(resolved)]
    table: str = tabulate(rows, headers=["key", "value", "origin"], tablefmt="plain", disable_numparse=True)
    return table


def _values(resolved: Resolved) -> Iterator[tuple[str, Any]]:
    tree = resolved.recipe.model_dump(mode="json")
    for slot in SLOTS:
        part = resolved.slots[slot]
        yield slot, part.component.name
        yield from _flatten(part.options, slot)
    for group in LOSS_GROUPS:
        for name, part in getattr(resolved, group).items():
            yield f"{group}.{name}.weight", part.weight
            yield from _flatten(part.options, f"{group}.{name}")
    for key, value in tree.items():
        if key not in SLOTS and key not in LOSS_GROUPS:
            yield from _flatten({key: value}, "")


def _flatten(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            yield from _flatten(value, name)
        else:
            yield name, value


def _prefixes(key: str) -> Iterator[str]:
    while key:
        yield key
        key = key.rpartition(".")[0]

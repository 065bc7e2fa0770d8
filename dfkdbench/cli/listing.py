"""`dfkdbench list`: what there is, one line each."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from dfkdbench.cli.output import names, print_json, print_remark, print_table
from dfkdbench.commands import Command
from dfkdbench.compatibility import league_of, needed_access
from dfkdbench.config import resolve
from dfkdbench.descriptors import Component, DatasetSpec, Method, ModelSpec
from dfkdbench.errors import DfkdbenchError, unknown_name
from dfkdbench.executors.descriptor import ExecutorSpec
from dfkdbench.registry import PLURAL, Owned, Registry, load_registry
from dfkdbench.teachers.store import TeacherStore

Row = dict[str, Any]

_KIND_OF = {plural: kind for kind, plural in PLURAL.items()}
_JSON_ONLY = frozenset({"aliases", "module", "paper"})
_MANY = 12
"""Parts of a plugin that are named one by one; more are counted by kind."""

KINDS = (
    "methods",
    "generators",
    "losses",
    "replays",
    "aggregators",
    "combiners",
    "datasets",
    "models",
    "commands",
    "executors",
    "teachers",
    "plugins",
)


@click.command("list")
@click.argument("kind", metavar="KIND", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects.")
def list_kind(kind: str | None, as_json: bool) -> None:
    """List what is installed, of one KIND.

    KIND is methods, generators, losses, replays, aggregators, combiners, datasets, models, commands,
    executors, teachers or plugins.
    Without it: how many there are of each.
    """
    registry = load_registry()
    if kind is None:
        show_rows(_counts(registry), as_json)
        return
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS, "dfkdbench list")
    show_rows(_rows_of(registry, kind), as_json)
    broken = sum(plugin.status != "ok" for plugin in registry.plugins)
    if broken and kind != "plugins":
        what = "s are" if broken > 1 else " is"
        print_remark(f"{broken} installed plugin{what} not loaded. See: dfkdbench plugin list")


def show_rows(rows: list[Row], as_json: bool) -> None:
    """Prints rows of equal keys as JSON, or as a table without what only programs want."""
    if as_json:
        print_json(rows)
    elif rows:
        columns = [key for key in rows[0] if key not in _JSON_ONLY]
        titles = [column.replace("_", " ") for column in columns]
        print_table(titles, [[_cell(row[column]) for column in columns] for row in rows])
    else:
        print_remark("There are none.")


def teacher_rows() -> list[Row]:
    """The teachers of the default store; damaged ones are reported on standard error."""
    store = TeacherStore.default()
    bundles, complaints = store.scan()
    for complaint in complaints:
        print_remark(complaint)
    return [
        {
            "name": bundle.name,
            "dataset": bundle.card.dataset,
            "model": bundle.card.arch,
            "seed": bundle.card.seed,
            "recipe": bundle.card.kind,
            "accuracy": round(bundle.card.accuracy, 2),
            "sha256": bundle.sha256[:12],
            "folder": str(bundle.folder),
        }
        for bundle in bundles
    ]


def _rows_of(registry: Registry, kind: str) -> list[Row]:
    if kind == "plugins":
        return plugin_rows(registry)
    if kind == "teachers":
        return teacher_rows()
    special: dict[str, Callable[[Registry, Owned[Any]], Row]] = {
        "methods": _method_row,
        "models": _model_row,
        "datasets": _dataset_row,
        "commands": _command_row,
        "executors": _executor_row,
    }
    describe = special.get(kind, _component_row)
    shelf = registry.shelf(_KIND_OF[kind])
    entries = list(_without_aliases(shelf.items()))
    if kind not in ("datasets", "models", "commands", "executors"):  # these are registered in the order of size or use
        entries.sort(key=lambda entry: entry[0])
    return [{"name": name, **describe(registry, owned)} for name, owned in entries]


def _without_aliases(items: Iterable[tuple[str, Owned[Any]]]) -> Iterator[tuple[str, Owned[Any]]]:
    return ((name, owned) for name, owned in items if name.rpartition(":")[2] == owned.item.name)


def _method_row(registry: Registry, owned: Owned[Method]) -> Row:
    method = owned.item
    try:
        access = needed_access(method, resolve(registry, method, ("", "", "")))
        league = league_of(access)
    except DfkdbenchError as error:  # a part of another plugin that is not installed
        access, league = method.access, "?"
        print_remark(f"The method '{method.name}' can't run here. {error.message}")
    return {
        "league": league,
        "needs": sorted(access),
        "aliases": list(method.aliases),
        "paper": method.paper,
        "distribution": owned.distribution,
        "summary": method.summary,
    }


def _component_row(registry: Registry, owned: Owned[Component]) -> Row:
    component = owned.item
    role = {"role": component.role} if component.kind == "loss" else {}
    return {
        **role,
        "needs": sorted(component.needs),
        "paper": component.paper,
        "distribution": owned.distribution,
        "summary": component.summary,
    }


def _model_row(registry: Registry, owned: Owned[ModelSpec]) -> Row:
    model = owned.item
    return {
        "image_sizes": list(model.image_sizes) or "any",
        "signals": sorted(model.signals),
        "paper": model.paper,
        "distribution": owned.distribution,
        "summary": model.summary,
    }


def _dataset_row(registry: Registry, owned: Owned[DatasetSpec]) -> Row:
    spec = owned.item
    return {
        "classes": spec.classes,
        "shape": f"{spec.channels}x{spec.image_size}x{spec.image_size}",
        "pair": spec.pairs[0],
        "tier": spec.default_budget,
        "distribution": owned.distribution,
        "summary": spec.summary,
    }


def _command_row(registry: Registry, owned: Owned[Command]) -> Row:
    return {"distribution": owned.distribution, "summary": owned.item.summary}


def _executor_row(registry: Registry, owned: Owned[ExecutorSpec]) -> Row:
    spec = owned.item
    ready = not spec.requires or importlib.util.find_spec(spec.requires) is not None
    return {
        "ready": "yes" if ready else f"needs dfkdbench[{spec.extra}]",
        "distribution": owned.distribution,
        "summary": spec.summary,
    }


def plugin_rows(registry: Registry) -> list[Row]:
    """Every installed plugin, broken ones with their reason."""
    return [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "module": plugin.module,
            "api": plugin.api,
            "status": plugin.status,
            "parts": plugin.parts,
            "seconds": round(plugin.seconds, 3),
            "reason": plugin.reason,
        }
        for plugin in registry.plugins
    ]


def _counts(registry: Registry) -> list[Row]:
    return [
        {"kind": kind, "count": len(_rows_of(registry, kind)), "list them with": f"dfkdbench list {kind}"}
        for kind in KINDS
    ]


def _cell(value: Any) -> str:
    if isinstance(value, list) and len(value) > _MANY:
        counts = Counter(str(entry).partition(" ")[0] for entry in value)
        return names(f"{count} {kind if count == 1 else PLURAL[kind]}" for kind, count in counts.items())
    if isinstance(value, list):
        return names(map(str, value))
    return "-" if value in (None, "") else str(value)

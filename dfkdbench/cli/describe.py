"""`dfkdbench describe`: what a name is, with every option it takes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from dfkdbench.cli.optionrows import OptionRow, component_rows, model_rows, recipe_rows
from dfkdbench.cli.output import in_one_line, names, print_facts, print_json, print_table
from dfkdbench.compatibility import league_of, needed_access
from dfkdbench.config import resolve
from dfkdbench.descriptors import Component, DatasetSpec, Method, ModelSpec, Preset, Tuning
from dfkdbench.errors import ConfigError, unknown_name
from dfkdbench.executors.choosing import options_of
from dfkdbench.executors.descriptor import ExecutorSpec
from dfkdbench.pairs import find_pair
from dfkdbench.registry import Owned, Registry, load_registry
from dfkdbench.tuning import in_words

Cell = tuple[str, str, str]
"""Data set, "teacher:student" pair and tier; empty strings where the cell is left open."""

Entry = dict[str, Any]
"""One thing of that name: `kind`, `facts` and, where it has some, `options`."""


@click.command()
@click.argument("name")
@click.option("--dataset", help="Show a method's values on this data set.")
@click.option("--pair", metavar="TEACHER:STUDENT", help="The pair, where it is not the data set's default.")
@click.option("--budget", metavar="TIER", help="The tier, where it is not the data set's default.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object for each thing of that name.")
def describe(name: str, dataset: str | None, pair: str | None, budget: str | None, as_json: bool) -> None:
    """Show what NAME is (method, part, data set, model or executor), with every option it takes.

    Option keys are spelled as `run --set KEY=VALUE` takes them.
    """
    registry = load_registry()
    cell = _choose_cell(registry, dataset, pair, budget)
    entries = [_describe_one(registry, kind, owned, cell) for kind, owned in registry.find(name)]
    if as_json:
        print_json(entries)
        return
    for position, entry in enumerate(entries):
        if position:
            click.echo()
        _print_entry(entry)


def _choose_cell(registry: Registry, dataset: str | None, pair: str | None, budget: str | None) -> Cell:
    """The cell that is asked for, filled up with the data set's defaults.

    Raises:
        ConfigError: A pair or tier without a data set.
        PlanError: A pair that is none.
        UnknownNameError: No such data set, model or tier.
    """
    if dataset is None:
        if pair or budget:
            raise ConfigError("--pair and --budget say where on a data set; give --dataset too.")
        return ("", "", "")
    spec: DatasetSpec = registry.datasets.get(dataset).item
    models = find_pair(registry, pair or spec.pairs[0], spec.pairs)
    pair = ":".join(owned.item.name for owned in models)
    budget = budget or spec.default_budget
    if budget not in spec.budgets:
        raise unknown_name(f"tier of {spec.name}", budget, spec.budgets, f"dfkdbench describe {spec.name}")
    return (spec.name, pair, budget)


def _describe_one(registry: Registry, kind: str, owned: Owned[Any], cell: Cell) -> Entry:
    item = owned.item
    entry: Entry = {
        "kind": kind,
        "name": item.name,
        "distribution": f"{owned.distribution} {owned.distribution_version}",
    }
    if isinstance(item, Method):
        resolved = resolve(registry, item, cell)
        entry["facts"] = _method_facts(registry, item, cell)
        entry["options"] = [asdict(row) for row in recipe_rows(item, resolved)]
    elif isinstance(item, Component):
        entry["facts"] = _component_facts(item)
        entry["options"] = [asdict(row) for row in component_rows(item)]
    elif isinstance(item, ModelSpec):
        entry["facts"] = _model_facts(item)
    elif isinstance(item, ExecutorSpec):
        entry["facts"] = {"summary": item.summary, "version": item.version, "extra": item.extra}
        entry["options"] = [asdict(row) for row in model_rows(options_of(item))]
    else:
        entry["facts"] = _dataset_facts(item)
    return entry


def _method_facts(registry: Registry, method: Method, cell: Cell) -> dict[str, str]:
    access = needed_access(method, resolve(registry, method, cell))
    presets = [_scope(preset) + (f" ({preset.source})" if preset.source else "") for preset in method.presets]
    dataset, pair, tier = cell
    return {
        "summary": method.summary,
        "paper": method.paper,
        "version": method.version,
        "aliases": ", ".join(method.aliases),
        "league": league_of(access),
        "sees": names(sorted(access)),
        "loop": method.loop or "standard",
        "presets": "; ".join(presets),
        "tuning": tuning_facts(method, cell),
        "values": f"of {dataset}, {pair}, tier {tier}" if dataset else "of no data set; choose one with --dataset",
    }


def _scope(preset: Preset) -> str:
    return " ".join(part for part in (preset.dataset, preset.pair, preset.budget) if part) or "everywhere"


def tuning_facts(method: Method, cell: Cell) -> str:
    """How the values were chosen: those of a cell, or of the recipe and every preset."""
    chosen: dict[Tuning, list[str]] = {method.tuning: ["recipe"]}
    for preset in method.presets:
        if not cell[0] or preset.matches(*cell):
            chosen.setdefault(preset.tuning, []).append(_scope(preset))
    return "; ".join(f"{', '.join(dict.fromkeys(scopes))}: {in_words(tuning)}" for tuning, scopes in chosen.items())


def _component_facts(component: Component) -> dict[str, str]:
    return {
        "summary": component.summary,
        "paper": component.paper,
        "version": component.version,
        "role": f"loss on {component.role}s" if component.role else "",
        "needs": names(sorted(component.needs)),
        "provides": names(sorted(component.provides)),
    }


def _model_facts(model: ModelSpec) -> dict[str, str]:
    return {
        "summary": model.summary,
        "paper": model.paper,
        "version": model.version,
        "image sizes": ", ".join(map(str, model.image_sizes)) or "any",
        "signals": names(sorted(model.signals)),
    }


def _dataset_facts(spec: DatasetSpec) -> dict[str, str]:
    recipe = spec.teacher
    tiers = {
        f"tier {name}": (
            f"{tier.student_samples:,} student samples, {tier.teacher_queries:,} teacher queries, "
            f"{tier.device_seconds:,} device seconds, {tier.evaluations} evaluations"
            if tier.student_samples
            else "the method's own published number of steps"
        )
        for name, tier in spec.budgets.items()
    }
    return {
        "summary": spec.summary,
        "source": spec.source,
        "version": spec.version,
        "images": f"{spec.channels} x {spec.image_size} x {spec.image_size}, {spec.classes} classes",
        "mean": ", ".join(map(str, spec.mean)),
        "std": ", ".join(map(str, spec.std)),
        "pairs": f"{', '.join(spec.pairs)} (the first is the default)",
        **tiers,
        "default tier": spec.default_budget,
        "teacher recipe": f"{recipe.epochs} epochs of {recipe.optimizer} at batch {recipe.batch_size}, "
        f"lr {recipe.lr:g}, {recipe.schedule} schedule",
        "files": f"{spec.files} in --data-root" if spec.needs_root else "in the package",
    }


def _print_entry(entry: Entry) -> None:
    click.echo(f"{entry['name']}: {entry['kind']} of {entry['distribution']}")
    print_facts(entry["facts"])
    if "options" not in entry:
        return
    rows = [OptionRow(**row) for row in entry["options"]]
    if not rows:
        click.echo("  It has no options.")
        return
    click.echo()
    print_table(
        ("option", "value", "default", "type", "origin", "description"),
        [
            [row.key, in_one_line(row.value), in_one_line(row.default), row.type, row.origin, row.description]
            for row in rows
        ],
        wrap_last=True,
    )

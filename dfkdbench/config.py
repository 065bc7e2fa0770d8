"""Layers of configuration: component < method < preset < TOML file < flags, each value keeping its origin."""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfkdbench.descriptors import Component, Method
from dfkdbench.errors import ConfigError, nearest
from dfkdbench.recipe import LossChoice, OptimizerOptions, Options, PartChoice, Phase, Recipe, StudentUpdateOptions
from dfkdbench.registry import Owned, Registry
from dfkdbench.validation import check_field, keys_of, validate, validate_options

SLOTS = ("generator", "combiner", "replay", "aggregator")
LOSS_GROUPS = {"losses": "image", "student_losses": "student"}

NESTED: dict[str, tuple[type[Options], str]] = {
    "student": (OptimizerOptions, "the student's optimiser. Write student.lr or so."),
    "student_update": (StudentUpdateOptions, "the student's update. Write student_update.kind or so."),
}
"""Fields of a recipe that are models of their own: their model, and what a key below them names."""

Setting = tuple[str, Any, str]
"""Dotted key, value, origin."""


@dataclass
class Layered:
    """A recipe under construction.

    Attributes:
        tree: The recipe as plain data.
        origins: Dotted key -> where its value comes from.
    """

    tree: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)

    def put(self, key: str, value: Any, origin: str) -> None:
        """Sets a dotted key as users write it, e.g. `generator.latent` or `losses.one_hot.weight`.

        Raises:
            ConfigError: No such key.
        """
        path = key.split(".")
        if path[0] in SLOTS and path[1:] == ["name"]:
            key, path = path[0], path[:1]
        if path[0] in SLOTS:
            self._put_part(path, value)
        elif path[0] in LOSS_GROUPS:
            self._put_loss(key, path, value)
        elif path[0] == "phases":
            self._put_phase(key, path, value)
        elif path[0] in NESTED:
            model, what = NESTED[path[0]]
            if len(path) != 2:
                raise ConfigError(f"Key '{key}' names no setting of {what}")
            check_field(model, path[1], key)
            self.tree[path[0]][path[1]] = value
        elif len(path) == 1:
            check_field(Recipe, path[0], key)
            self.tree[path[0]] = value
        else:
            raise ConfigError(
                f"Unknown key '{key}'.{nearest(path[0], Recipe.model_fields)} {keys_of(Recipe.model_fields)}"
            )
        for replaced in [other for other in self.origins if other.startswith(f"{key}.")]:
            del self.origins[replaced]
        self.origins[key] = origin

    def _put_part(self, path: list[str], value: Any) -> None:
        slot, rest = path[0], path[1:]
        if not rest:
            self.tree[slot] = {"name": value, "options": {}}
        else:
            _put_nested(self.tree[slot]["options"], rest, value)

    def _put_loss(self, key: str, path: list[str], value: Any) -> None:
        if len(path) < 3:
            raise ConfigError(f"Key '{key}' names no setting of a loss. Write {path[0]}.NAME.weight or an option.")
        choice = self.tree[path[0]].setdefault(path[1], {"weight": 1.0, "options": {}})
        if path[2:] == ["weight"]:
            choice["weight"] = value
        else:
            _put_nested(choice["options"], path[2:], value)

    def _put_phase(self, key: str, path: list[str], value: Any) -> None:
        phases = self.tree["phases"]
        if len(path) != 3 or path[1] not in phases:
            given = path[1] if len(path) > 1 else ""
            raise ConfigError(f"Unknown key '{key}'.{nearest(given, phases)} Phases here: {', '.join(phases)}.")
        check_field(Phase, path[2], key)
        phases[path[1]][path[2]] = value


@dataclass(frozen=True)
class ResolvedPart:
    """A part in its slot with every option filled in."""

    owned: Owned[Component]
    options: dict[str, Any]
    weight: float = 1.0

    @property
    def component(self) -> Component:
        """The part's description."""
        return self.owned.item

    @property
    def name(self) -> str:
        """The part's name."""
        return self.owned.item.name


@dataclass(frozen=True)
class Resolved:
    """A checked recipe with its parts and the origin of every value."""

    recipe: Recipe
    slots: dict[str, ResolvedPart]
    losses: dict[str, ResolvedPart]
    student_losses: dict[str, ResolvedPart]
    origins: dict[str, str]

    def parts(self) -> Iterable[ResolvedPart]:
        """Every part of the recipe."""
        yield from self.slots.values()
        yield from self.losses.values()
        yield from self.student_losses.values()


def resolve(
    registry: Registry,
    method: Method,
    cell: tuple[str, str, str],
    overrides: Iterable[Setting] = (),
) -> Resolved:
    """Lays presets and overrides over a method's recipe and checks every key and value.

    Args:
        cell: Data set, "teacher:student" pair and budget tier, which pick the presets.
        overrides: (dotted key, value, origin) in rising precedence: files, then flags.

    Raises:
        ConfigError: An unknown key or a value of the wrong type; the message names the nearest key.
        UnknownNameError: A part that is not installed.
    """
    layered = Layered(method.recipe.model_dump(mode="json"))
    for layer in _layers(method, cell, overrides):
        for key, value, origin in _parts_first(layer):
            layered.put(key, value, origin)
    _check_phase_losses(layered.tree)
    _drop_left_out(registry, layered.tree)
    recipe = validate(Recipe, layered.tree, "")
    slots = {slot: _resolve_part(registry, slot, slot, getattr(recipe, slot)) for slot in SLOTS}
    groups = {
        group: {
            name: _resolve_loss(registry, group, role, name, choice) for name, choice in getattr(recipe, group).items()
        }
        for group, role in LOSS_GROUPS.items()
    }
    return Resolved(recipe, slots, groups["losses"], groups["student_losses"], layered.origins)


def read_config_file(path: Path) -> list[Setting]:
    """Overrides from a TOML file: tables are dotted keys."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"Can't read the configuration file {path}: {error}") from None
    return [(key, value, path.name) for key, value in flatten(tree)]


def several_teachers(count: int) -> list[Setting]:
    """What the number of teachers puts above the presets."""
    return [("aggregator", "mean", "--teachers")] if count > 1 else []


def parse_setting(text: str) -> Setting:
    """One `--set key=value`; the value is JSON, or else a plain string.

    Raises:
        ConfigError: There is no '='.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set takes key=value, given '{text}'. For example: --set student.lr=0.001")
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        parsed = value
    return key.strip(), parsed, "--set"


def parse_loss(registry: Registry, text: str) -> Setting:
    """One `--loss name[=weight]`; weight 0 leaves the loss out."""
    name, equals, weight = text.partition("=")
    role = registry.components["loss"].get(name).item.role
    group = next(group for group, wanted in LOSS_GROUPS.items() if wanted == role)
    try:
        value = float(weight) if equals else 1.0
    except ValueError:
        raise ConfigError(f"--loss takes NAME or NAME=WEIGHT, given '{text}'; '{weight}' is no number.") from None
    return f"{group}.{name}.weight", value, "--loss"


def _resolve_part(registry: Registry, kind: str, prefix: str, choice: PartChoice) -> ResolvedPart:
    owned = registry.components[kind].get(choice.name)
    return ResolvedPart(owned, validate_options(owned.item.options, choice.options, f"{prefix}."))


def _resolve_loss(registry: Registry, group: str, role: str, name: str, choice: LossChoice) -> ResolvedPart:
    owned = registry.components["loss"].get(name)
    if owned.item.role != role:
        raise ConfigError(
            f"The loss '{name}' is a loss on {owned.item.role}s and can't stand in '{group}', "
            f"which takes losses on {role}s. See: dfkdbench list losses"
        )
    options = validate_options(owned.item.options, choice.options, f"{group}.{name}.")
    return ResolvedPart(owned, options, choice.weight)


def _layers(method: Method, cell: tuple[str, str, str], overrides: Iterable[Setting]) -> Iterator[Iterable[Setting]]:
    """The layers above the method's recipe, in rising precedence."""
    for preset in method.presets:
        if preset.matches(*cell):
            origin = f"preset: {preset.source}" if preset.source else "preset"
            yield [(key, value, origin) for key, value in preset.values.items()]
    for _, layer in itertools.groupby(overrides, key=lambda setting: setting[2]):
        yield layer


def _parts_first(layer: Iterable[Setting]) -> list[Setting]:
    """A layer's settings, those that put a part into a slot before the options of that part."""
    return sorted(layer, key=lambda setting: setting[0].removesuffix(".name") not in SLOTS)


def _check_phase_losses(tree: Mapping[str, Any]) -> None:
    known = list(tree["losses"])
    for phase, settings in tree["phases"].items():
        named = settings["losses"]
        for name in named if isinstance(named, list | tuple) else ():
            if name not in known:
                raise ConfigError(
                    f"phases.{phase}.losses: there is no image loss '{name}' in this recipe."
                    f"{nearest(str(name), known)} Image losses here: {', '.join(known) or 'none'}."
                )


def _drop_left_out(registry: Registry, tree: dict[str, Any]) -> None:
    """Takes out the losses of weight 0, once it is sure that there are such losses at all."""
    for group in LOSS_GROUPS:
        for name in tree[group]:
            registry.components["loss"].get(name)
        tree[group] = {name: choice for name, choice in tree[group].items() if not _is_zero(choice["weight"])}


def _is_zero(weight: Any) -> bool:
    return not isinstance(weight, bool) and weight == 0


def _put_nested(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for step in path[:-1]:
        nested = tree.setdefault(step, {})
        if not isinstance(nested, dict):
            nested = tree[step] = {}
        tree = nested
    tree[path[-1]] = value


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, with dotted keys."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

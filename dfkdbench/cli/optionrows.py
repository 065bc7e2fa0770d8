"""Every option of a part or a method, keys spelled as `--set` takes them, with type, default, value and origin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from dfkdbench.config import LOSS_GROUPS, NESTED, SLOTS, Resolved, ResolvedPart
from dfkdbench.descriptors import Component, Method
from dfkdbench.recipe import LossChoice, Phase, Recipe
from dfkdbench.registry import PLURAL

DEFAULT = "default"
OriginOf = Callable[[str], str]


@dataclass(frozen=True)
class OptionRow:
    """One option.

    Attributes:
        key: As `--set` takes it.
        type: In words, as far as the values go that `--set` takes.
        default: What the part or the recipe has by itself.
        value: What it is in the cell that is described.
        origin: Where that value comes from: "default", "method", or the preset's name.
    """

    key: str
    type: str
    default: Any
    value: Any
    origin: str
    description: str


def component_rows(component: Component) -> list[OptionRow]:
    """The options of a part by itself."""
    prefix = f"{component.kind}."
    if component.kind == "loss":
        group = next(group for group, role in LOSS_GROUPS.items() if role == component.role)
        prefix = f"{group}.{component.name}."
    defaults = _defaults_of(component.options)
    return list(_model_rows(component.options, prefix, defaults, defaults, lambda key: DEFAULT))


def model_rows(model: type[BaseModel]) -> list[OptionRow]:
    """The options of a model by itself."""
    defaults = _defaults_of(model)
    return list(_model_rows(model, "", defaults, defaults, lambda key: DEFAULT))


def recipe_rows(method: Method, resolved: Resolved) -> list[OptionRow]:
    """Every option of a method and of its parts, with the values of a cell."""
    origin_of = _Origins(method, resolved)
    defaults = _defaults_of(Recipe)
    schema = Recipe.model_json_schema()["properties"]
    rows: list[OptionRow] = []
    for name in Recipe.model_fields:
        value = getattr(resolved.recipe, name)
        if name in SLOTS:
            rows += _slot_rows(name, resolved.slots[name], defaults[name]["name"], origin_of)
        elif name in LOSS_GROUPS:
            for loss, part in getattr(resolved, name).items():
                rows += _loss_rows(f"{name}.{loss}.", part, origin_of)
        elif name == "phases":
            for phase, chosen in value.items():
                values = chosen.model_dump(mode="json")
                rows += _model_rows(Phase, f"phases.{phase}.", _defaults_of(Phase), values, origin_of)
        elif name in NESTED:
            values = value.model_dump(mode="json")
            rows += _model_rows(NESTED[name][0], f"{name}.", defaults[name], values, origin_of)
        else:
            text = schema[name].get("description", "")
            rows.append(OptionRow(name, type_in_words(schema[name]), defaults[name], value, origin_of(name), text))
    return rows


def type_in_words(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> str:
    """A JSON schema in a few words: `integer >= 1`, `adam | sgd`, `[number, number]`, `number > 0 or null`."""
    definitions = definitions or {}
    if "$ref" in schema:
        return type_in_words(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions)
    if "anyOf" in schema:
        return " or ".join(type_in_words(choice, definitions) for choice in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " | ".join(str(choice) for choice in schema.get("enum", [schema.get("const")]))
    kind = str(schema.get("type", "any"))
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(type_in_words(item, definitions) for item in schema['prefixItems'])}]"
        return f"[{type_in_words(schema.get('items', {}), definitions)}, ...]"
    bounds = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
    limits = [f"{sign} {schema[bound]:g}" for bound, sign in bounds if bound in schema]
    return f"{kind} {' and '.join(limits)}".rstrip()


class _Origins:
    """Tells where the value of a key comes from."""

    def __init__(self, method: Method, resolved: Resolved) -> None:
        self._layers = resolved.origins
        self._method = _keys_set_by(method.recipe)
        replaced = [slot for slot in SLOTS if slot in self._layers or f"{slot}.name" in self._layers]
        self._method = {key for key in self._method if key.split(".")[0] not in replaced}

    def __call__(self, key: str) -> str:
        path = key.split(".")
        if path[0] in SLOTS and len(path) == 1:
            layered = self._layers.get(f"{key}.name", self._layers.get(key))
            return layered or ("method" if key in self._method else DEFAULT)
        shortest = 2 if path[0] in (*SLOTS, "phases", *LOSS_GROUPS) else 1
        for length in range(len(path), shortest - 1, -1):
            parent = ".".join(path[:length])
            if parent in self._layers:
                return self._layers[parent]
        return "method" if key in self._method else DEFAULT


def _keys_set_by(recipe: Recipe) -> set[str]:
    """Keys that a method's recipe gives a value of its own."""
    tree = recipe.model_dump(mode="json", exclude_unset=True)
    keys = set()
    for key in _leaves(tree):
        path = key.split(".")
        if path[0] in SLOTS:
            path = [path[0], *(path[2:] if path[1] == "options" else [])]
        elif path[0] in LOSS_GROUPS and path[2:3] == ["options"]:
            del path[2]
        keys.add(".".join(path))
    for group in LOSS_GROUPS:
        keys |= {f"{group}.{name}.weight" for name in tree.get(group, {})}
    return keys


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _slot_rows(slot: str, part: ResolvedPart, default: str, origin_of: OriginOf) -> Iterator[OptionRow]:
    text = f"{part.component.summary} Others: dfkdbench list {PLURAL[slot]}"
    yield OptionRow(slot, f"{slot} by name", default, part.component.name, origin_of(slot), text)
    model = part.component.options
    yield from _model_rows(model, f"{slot}.", _defaults_of(model), part.options, origin_of)


def _loss_rows(prefix: str, part: ResolvedPart, origin_of: OriginOf) -> Iterator[OptionRow]:
    schema = LossChoice.model_json_schema()["properties"]["weight"]
    text = f"{part.component.summary} {schema['description']}"
    key = f"{prefix}weight"
    yield OptionRow(key, type_in_words(schema), schema["default"], part.weight, origin_of(key), text)
    model = part.component.options
    yield from _model_rows(model, prefix, _defaults_of(model), part.options, origin_of)


def _model_rows(
    model: type[BaseModel], prefix: str, defaults: Mapping[str, Any], values: Mapping[str, Any], origin_of: OriginOf
) -> Iterator[OptionRow]:
    """One row a field, nested models flattened into dotted keys."""
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _model_rows(annotation, f"{key}.", defaults[name], values[name], origin_of)
            continue
        entry = schema["properties"][name]
        yield OptionRow(
            key=key,
            type=type_in_words(entry, schema.get("$defs")),
            default=defaults[name],
            value=values.get(name, defaults[name]),
            origin=origin_of(key),
            description=field.description or "",
        )


def _defaults_of(model: type[BaseModel]) -> dict[str, Any]:
    """Of every field, those too that plans leave out at their default."""
    made = model()
    written = made.model_dump(mode="json")
    return {name: written.get(name, getattr(made, name)) for name in model.model_fields}

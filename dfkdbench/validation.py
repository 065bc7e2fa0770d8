"""Strict checks of options against their models, with messages that name the key and the nearest known one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from dfkdbench.errors import ConfigError, choices, nearest

DESCRIBE = "dfkdbench describe NAME"


def validate_options(model: type[BaseModel], options: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Options with every default filled in, checked strictly.

    A nested model that is given in part keeps the rest of the default that the outer model has for it.
    """
    filled = dict(options)
    for name in filled.keys() & model.model_fields.keys():
        default = model.model_fields[name].get_default(call_default_factory=True, validated_data={})
        if isinstance(default, BaseModel) and isinstance(filled[name], Mapping):
            filled[name] = _fill_nested(default, filled[name])
    checked: BaseModel = validate(model, filled, prefix)
    return checked.model_dump(mode="json")


def validate(model: type[BaseModel], tree: dict[str, Any], prefix: str, command: str = DESCRIBE) -> Any:
    """A model made of a tree, by the strict rules of JSON: `true` is no number and 1 no truth value.

    Args:
        command: What lists the keys there are.

    Raises:
        ConfigError: One line for each wrong key or value.
    """
    try:
        text = json.dumps(tree)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"A value can't be written as JSON: {error}") from None
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(model, problem, prefix, command) for problem in error.errors())) from None


def _explain(model: type[BaseModel], problem: Any, prefix: str, command: str) -> str:
    location = [str(step) for step in problem["loc"]]
    key = prefix + ".".join(step for step in location if step != "options")
    if problem["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        return f"Unknown key '{key}'.{nearest(location[-1], known)} {keys_of(known, command)}"
    return f"{key}: given {json.dumps(problem['input'], default=str)}, expected: {problem['msg']}."


def _fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """Fields of the model nested at a location."""
    current: Any = model
    for step in location:
        annotation = current.model_fields[step].annotation if step in current.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        current = annotation
    return list(current.model_fields)


def check_field(model: type[BaseModel], name: str, key: str) -> None:
    """Raises a ConfigError for a name that is no field of the model."""
    if name not in model.model_fields:
        raise ConfigError(f"Unknown key '{key}'.{nearest(name, model.model_fields)} {keys_of(model.model_fields)}")


def keys_of(names: Iterable[str], command: str = DESCRIBE) -> str:
    """A sentence with the keys there are and the command that lists them."""
    return choices(names, command)


def _fill_nested(default: BaseModel, given: Mapping[str, Any]) -> dict[str, Any]:
    filled = {**default.model_dump(mode="json"), **given}
    for name in given.keys() & type(default).model_fields.keys():
        nested = getattr(default, name)
        if isinstance(nested, BaseModel) and isinstance(given[name], Mapping):
            filled[name] = _fill_nested(nested, given[name])
    return filled

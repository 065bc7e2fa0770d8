"""The plain settings of methods: what a row is spelled against.

A board keeps them in `methods/`, one file for each method, version, data set, pair and tier, written from what is
installed where an entry is submitted. So a board is built without any plugin, and a plugin that changes its presets
later changes no row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from dfkdbench.boards.entries import Problem
from dfkdbench.boards.fields import Name, Pair, Strict, Version, first_error, read_tree, shown
from dfkdbench.boards.reading import ReadPlan, ReadRecipe
from dfkdbench.config import resolve
from dfkdbench.errors import DfkdbenchError, IntegrityError
from dfkdbench.files import write_json
from dfkdbench.recipe import PlannedRecipe, Recipe
from dfkdbench.registry import Registry

FOLDER = "methods"
SCHEMA: Literal[1] = 1
_LARGEST = 1 << 18
_RECIPES: TypeAdapter[Recipe] = TypeAdapter(PlannedRecipe)


class MethodKey(NamedTuple):
    """What plain settings depend on."""

    plugin: str
    distribution: str
    method_version: str
    dataset: str
    pair: str
    budget: str


class PlainMethod(Strict):
    """A method as it runs where nobody sets anything."""

    schema_number: Literal[1] = Field(SCHEMA, alias="schema")
    plugin: Name
    distribution: Name
    method_version: Version
    dataset: Name
    pair: Pair
    budget: Name
    recipe: dict[str, Any]

    @property
    def key(self) -> MethodKey:
        """What these settings are of."""
        return MethodKey(*(getattr(self, name) for name in MethodKey._fields))

    @property
    def file(self) -> str:
        """Where it lies in the board's folder `methods`."""
        return file_name(self.key)


def file_name(key: MethodKey) -> str:
    """Where plain settings lie in the board's folder `methods`."""
    words = (key.plugin, key.method_version, key.dataset, *key.pair.split(":"), key.budget)
    return f"{key.distribution}/{'-'.join(words)}.json"


def key_of(plan: ReadPlan) -> MethodKey:
    """What the plain settings of a run's method depend on."""
    return MethodKey(
        plan.plugin, plan.distribution, plan.method_version, plan.input.dataset, plan.pair, plan.budget.name
    )


def read_plain_methods(board: Path) -> tuple[dict[MethodKey, dict[str, Any]], list[Problem]]:
    """Every plain recipe that a board keeps, and one sentence for each file that is none."""
    folder = board / FOLDER
    recipes: dict[MethodKey, dict[str, Any]] = {}
    problems: list[Problem] = []
    for path in sorted(folder.glob("[!.]*/[!.]*")):
        name = path.relative_to(folder).as_posix()
        try:
            found = _read(path, name)
        except IntegrityError as error:
            problems.append(Problem(f"{FOLDER}/{shown(name)}", error.message))
            continue
        recipes[found.key] = found.recipe
    return recipes, problems


def plain_method(key: MethodKey, registry: Registry) -> PlainMethod | None:
    """The plain settings of a method by what is installed, or None where that is not this method or version."""
    owned = None
    for name in (key.plugin, f"{key.distribution}:{key.plugin}"):
        try:
            owned = owned or registry.methods.get(name)
        except DfkdbenchError:
            continue
    if owned is None or (owned.distribution, owned.item.version) != (key.distribution, key.method_version):
        return None
    try:
        recipe = resolve(registry, owned.item, (key.dataset, key.pair, key.budget)).recipe
    except DfkdbenchError:
        return None
    tree = _RECIPES.dump_python(recipe, mode="json")
    return PlainMethod(schema=SCHEMA, recipe=tree, **key._asdict())


def keep_plain_method(board: Path, method: PlainMethod) -> bool:
    """Writes plain settings into a board that has none of the kind. Whether those that lie there now are these."""
    path = board / FOLDER / method.file
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, method.model_dump(mode="json", by_alias=True))
        return True
    try:
        return _read(path, method.file) == method
    except IntegrityError:
        return False


def copy_plain_methods(board: Path, other: Path) -> list[Problem]:
    """Takes over plain settings that only the other board keeps; what is here stays, and differences are told."""
    ours, _ = read_plain_methods(board)
    theirs, problems = read_plain_methods(other)
    for key, recipe in theirs.items():
        if key not in ours:
            keep_plain_method(board, PlainMethod(schema=SCHEMA, recipe=recipe, **key._asdict()))
        elif ours[key] != recipe:
            problems.append(
                Problem(f"{FOLDER}/{file_name(key)}", "Other plain settings are here; these are not taken.")
            )
    return problems


def _read(path: Path, name: str) -> PlainMethod:
    """Raises an IntegrityError without the folder's name where a file holds no plain settings."""
    try:
        method = PlainMethod.model_validate(read_tree(path, _LARGEST))
        ReadRecipe.model_validate(method.recipe)
    except ValidationError as error:
        raise IntegrityError(f"It holds no plain settings of a method: {first_error(error)}.") from None
    if method.file != name:
        raise IntegrityError(f"It holds the plain settings that belong into {method.file}.")
    return method

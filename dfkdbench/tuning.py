"""How the values of a run came about: those of the preset or changed ones, and how the preset was chosen.

Nothing here can change a run or its id. It goes into the record, so that a table says which numbers were tuned for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dfkdbench.config import LOSS_GROUPS, SLOTS, Resolved, flatten, resolve, several_teachers
from dfkdbench.descriptors import Method, Tuning
from dfkdbench.plan import Plan
from dfkdbench.registry import Registry

_LEAST_KNOWN_FIRST = ("not recorded", "data-free validation", "publication")
_IN_WORDS = {"publication": "from a publication", "nothing": "set without a trial", "not recorded": "not recorded"}


@dataclass(frozen=True)
class Provenance:
    """What the record of a run says of its values.

    Attributes:
        changed: Dotted keys whose values are not those of the method's preset for the cell.
        tunings: How the preset's values were chosen, the recipe's first, each once.
    """

    changed: tuple[str, ...]
    tunings: tuple[Tuning, ...]


def provenance_of(registry: Registry, plan: Plan) -> Provenance:
    """What the installed method says of a plan.

    Raises:
        UnknownNameError: The method of the plan is not installed.
    """
    method, cell = _origin(registry, plan)
    return Provenance(changed_settings(registry, plan), tunings_of(method, cell))


def changed_settings(registry: Registry, plan: Plan) -> tuple[str, ...]:
    """Keys in which a plan differs from what its method, as installed, holds for the cell.

    A flag that gives the preset's own value changes nothing. A part in a slot that is not the preset's is one key, as
    `replay`; so is a loss more or less, as `losses.NAME`.

    Raises:
        UnknownNameError: The method of the plan is not installed.
    """
    method, cell = _origin(registry, plan)
    preset = _settings(resolve(registry, method, cell, several_teachers(len(plan.teachers))))
    chosen = _settings(plan)
    changed = []
    for key in dict.fromkeys([*chosen, *preset]):
        if key not in chosen or key not in preset or chosen[key].name != preset[key].name:
            changed.append(key)
        else:
            changed += [f"{key}.{name}" for name in _differing(chosen[key].values, preset[key].values)]
    return tuple(name.removeprefix(".") for name in changed)


def tunings_of(method: Method, cell: tuple[str, str, str]) -> tuple[Tuning, ...]:
    """How the values in force on a cell (data set, pair, tier) were chosen, the recipe's first, each once."""
    return tuple(dict.fromkeys([method.tuning, *(preset.tuning for preset in method.presets if preset.matches(*cell))]))


def in_words(tuning: Tuning) -> str:
    """A tuning as one phrase."""
    if tuning.selected_by in _IN_WORDS:
        return _IN_WORDS[tuning.selected_by]
    trials = "trials not recorded" if tuning.trials is None else f"{tuning.trials} trials"
    seeds = f"seeds {', '.join(map(str, tuning.seeds))}" if tuning.seeds else "seeds not recorded"
    where = f" on {', '.join(tuning.cells)}" if tuning.cells else ""
    return f"by {tuning.selected_by}{where}, {trials}, {seeds}"


def summary(tunings: Sequence[Tuning] | None, dataset: str, pair: str) -> str:
    """What a table says of a result's preset: the one of its tunings that tells most against an untouched test.

    "test accuracy here": the preset was chosen on the test set of this very cell, so that it is a development cell.
    "-": the record does not say.
    """
    if tunings is None:
        return "-"
    tested = [tuning.cells for tuning in tunings if tuning.selected_by == "test accuracy"]
    if tested:
        return f"test accuracy {'here' if any(f'{dataset} {pair}' in cells for cells in tested) else 'elsewhere'}"
    known = {tuning.selected_by for tuning in tunings}
    return next((by for by in _LEAST_KNOWN_FIRST if by in known), "nothing")


def _origin(registry: Registry, plan: Plan) -> tuple[Method, tuple[str, str, str]]:
    """The method that a plan was made of, as installed, and its cell."""
    method = registry.methods.get(f"{plan.distribution}:{plan.plugin}").item
    return method, (plan.input.dataset, plan.pair, plan.budget.name)


class _Settings(NamedTuple):
    """The values of one part; of the recipe's own fields where there is no name."""

    name: str
    values: dict[str, Any]


def _settings(chosen: Plan | Resolved) -> dict[str, _Settings]:
    """Everything that a user could set, by the key of its part; the recipe's own fields are below ""."""
    recipe = chosen.recipe.model_dump(mode="json", exclude={*SLOTS, *LOSS_GROUPS})
    found = {"": _Settings("", dict(flatten(recipe)))}
    for slot, part in chosen.slots.items():
        found[slot] = _Settings(part.name, dict(flatten(part.options)))
    for group in LOSS_GROUPS:
        for name, part in getattr(chosen, group).items():
            found[f"{group}.{name}"] = _Settings(name, {"weight": part.weight, **dict(flatten(part.options))})
    return found


def _differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    return [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]

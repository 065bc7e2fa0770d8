"""A row's name and command: what differs from the plain method, as a user would write it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dfkdbench.boards.reading import ReadPlan
from dfkdbench.config import LOSS_GROUPS, SLOTS
from dfkdbench.recipe import Recipe

Tree = Mapping[str, Any]

_NOTHING: Tree = {**{slot: {"name": "", "options": {}} for slot in SLOTS}, **{group: {} for group in LOSS_GROUPS}}
_AGGREGATOR_OF_SEVERAL = {"name": "mean", "options": {}}
_MOST_SETTINGS = 3
_PLAIN_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_JSON_WORDS = {"true", "false", "null", "NaN", "Infinity"}


@dataclass(frozen=True)
class Spelling:
    """How a run differs from the plain method.

    Attributes:
        parts: Flags that change parts: `--replay bank`, `--loss batch_norm=1`; and those of several processes.
        settings: What else was set: `student.lr=0.001`.
        against_plain: False where the plain settings are not known: then this is the whole recipe.
    """

    parts: tuple[str, ...]
    settings: tuple[str, ...]
    against_plain: bool = True

    def label(self, plugin: str) -> str:
        """A row's name."""
        settings = [f"--set {setting}" for setting in self.settings[:_MOST_SETTINGS]] if self.against_plain else []
        left = len(self.settings) - len(settings)
        if left and self.against_plain:
            settings.append(f"and {left} more setting{'s' if left > 1 else ''}")
        return " ".join([plugin, *self.parts, *settings])


def spell(plan: ReadPlan, plain: Tree | None) -> Spelling:
    """How a run differs from the plain method.

    Args:
        plain: The plain method's recipe, where it is known.
    """
    recipe, against = _with_defaults(plan.recipe), _NOTHING if plain is None else _with_defaults(plain)
    if plain is not None and len(plan.teachers) > 1:  # `run --teachers` puts this one where no other is asked for
        against = {**against, "aggregator": _AGGREGATOR_OF_SEVERAL}
    parts: list[str] = []
    settings: list[str] = []
    for slot in SLOTS:
        if replaced := _is_replaced(recipe[slot], against[slot]):
            parts.append(f"--{slot} {recipe[slot]['name']}")
        settings += _assignments(recipe[slot]["options"], {} if replaced else against[slot]["options"], f"{slot}.")
    for group in LOSS_GROUPS:
        for name in sorted({*recipe[group], *against[group]}):
            parts += _loss_flags(name, recipe[group].get(name), against[group].get(name))
            settings += _loss_settings(group, name, recipe[group].get(name), against[group].get(name))
    parts += _sharing_flags(plan)
    settings += _assignments(_without_parts(recipe), _without_parts(against))
    return Spelling(tuple(parts), tuple(settings), against_plain=plain is not None)


def command_of(plan: ReadPlan, spelling: Spelling, seeds: Iterable[int], devices: Iterable[str]) -> str:
    """The command that makes a row's runs, for a shell."""
    words = ["dfkdbench", "run", "--plugin", plan.plugin, "--dataset", plan.input.dataset, "--pair", plan.pair]
    words += ["--budget", plan.budget.name, "--seeds", seed_list(seeds)]
    names = [teacher.name for teacher in plan.teachers]
    if len(names) > 1:
        words += ["--teachers", str(len(names))]
    elif names[0] != f"{plan.input.dataset}-{plan.pair.partition(':')[0]}-s0":
        words += ["--teacher", names[0]]
    words += [word for flag in spelling.parts for word in flag.split(" ")]
    words += [word for setting in spelling.settings for word in ("--set", setting)]
    used = sorted(set(devices))
    words += ["--device", used[0]] if len(used) == 1 else []
    return shlex.join(words)


def seed_list(seeds: Iterable[int]) -> str:
    """Seeds as `run --seeds` takes them: 0-2,5."""
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and runs[-1][1] == seed - 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _with_defaults(recipe: Tree) -> dict[str, Any]:
    """A recipe with what plans leave out while it is at its default."""
    return {**Recipe().model_dump(mode="json"), **recipe}


def _without_parts(recipe: Tree) -> dict[str, Any]:
    return {key: value for key, value in recipe.items() if key not in SLOTS and key not in LOSS_GROUPS}


def _is_replaced(mine: Tree, plain: Tree) -> bool:
    """Whether another part was put into a slot; the same part put there anew has lost the method's options."""
    lost = {key for key, _ in _flat(plain["options"])} - {key for key, _ in _flat(mine["options"])}
    return bool(mine["name"] != plain["name"] or lost)


def _loss_flags(name: str, mine: Tree | None, plain: Tree | None) -> list[str]:
    if mine is None:
        return [f"--loss {name}=0"]
    if plain is not None and mine["weight"] == plain["weight"]:
        return []
    weight = float(mine["weight"])
    return [f"--loss {name}={int(weight) if weight.is_integer() and abs(weight) < 1e15 else repr(weight)}"]


def _loss_settings(group: str, name: str, mine: Tree | None, plain: Tree | None) -> list[str]:
    if mine is None:
        return []
    return list(_assignments(mine["options"], plain["options"] if plain else {}, f"{group}.{name}."))


def _sharing_flags(plan: ReadPlan) -> list[str]:
    if plan.processes == 1:
        return []
    return [f"--processes {plan.processes}", f"--batch-statistics {plan.batch_statistics}"]


def _assignments(mine: Tree, plain: Tree, prefix: str = "") -> Iterator[str]:
    """`key=value` of everything that is not the same, as `--set` takes it."""
    known = dict(_flat(plain))
    for key, value in _flat(mine):
        if key not in known or known[key] != value or type(known[key]) is not type(value):
            yield f"{prefix}{key}={_value(value)}"


def _flat(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key in sorted(tree):
        value = tree[key]
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, dict):
            yield f"{prefix}{key}", value


def _value(value: Any) -> str:
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value) and value not in _JSON_WORDS:
        return value
    return json.dumps(value, separators=(",", ":"))

"""Every hook has a heading in docs/hooks.md and a test here that sees it called."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dfkdbench import hookspecs
from dfkdbench.bench import notify
from dfkdbench.cli import main
from dfkdbench.registry import Registry

TEXT = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
HOOKS = [name for name in vars(hookspecs) if name.startswith("dfkdbench_")]
OBSERVING = {
    "dfkdbench_run_started": {"plan": {"seed": 0}, "isolation": "none"},
    "dfkdbench_report": {"report": {"fraction": 0.5}},
    "dfkdbench_evaluated": {"evaluation": {"accuracy": 90.0}},
    "dfkdbench_run_finished": {"result": {"status": "finished"}},
}
OFFERED = {
    "dfkdbench_methods": ("method", "Method('toy', 'Toy.', Recipe())"),
    "dfkdbench_generators": ("generator", "Component('generator', 'toy', 'toy:make', 'Toy.')"),
    "dfkdbench_losses": ("loss", "Component('loss', 'toy', 'toy:make', 'Toy.', role='image')"),
    "dfkdbench_replays": ("replay", "Component('replay', 'toy', 'toy:make', 'Toy.')"),
    "dfkdbench_aggregators": ("aggregator", "Component('aggregator', 'toy', 'toy:make', 'Toy.')"),
    "dfkdbench_models": ("model", "ModelSpec('toy', 'toy:make', 'Toy.')"),
    "dfkdbench_datasets": ("dataset", "replace(DIGITS, name='toy')"),
    "dfkdbench_commands": ("command", "Command('toy', 'toy:make', 'Toy.')"),
    "dfkdbench_executors": ("executor", "ExecutorSpec('toy', 'toy:make', 'toy:Options', 'Toy.')"),
}
OFFER = """
    from dataclasses import replace
    from dfkdbench import Command, Component, ExecutorSpec, Method, ModelSpec, Recipe, hookimpl
    from dfkdbench.datasets.specs import DIGITS

    API = 1

    @hookimpl
    def {hook}():
        return [{item}]
"""
OBSERVE = """
    from dfkdbench import hookimpl

    API = 1
    SEEN = []

    @hookimpl
    def {hook}({arguments}):
        SEEN.append(({arguments}))
"""


@pytest.mark.parametrize("hook", HOOKS)
def test_hook__has_a_heading_and_a_test(hook: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"\n### {hook}({arguments})\n" in TEXT
    assert hook in OFFERED or hook in OBSERVING
    assert inspect.getdoc(getattr(hookspecs, hook))


def test_headings__are_of_hooks() -> None:
    assert sorted(re.findall(r"^### (\w+)\(", TEXT, re.MULTILINE)) == sorted(HOOKS)


@pytest.mark.parametrize("hook", OFFERED)
def test_hook__of_an_offer(
    hook: str, make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry]
) -> None:
    kind, item = OFFERED[hook]
    make_distribution("toy-lab", OFFER.format(hook=hook, item=item))
    registry = registry_of_site()
    assert registry.plugins[-1].status == "ok", registry.plugins[-1].reason
    assert registry.shelf(kind).get("toy").distribution == "toy-lab"


@pytest.mark.parametrize("hook", OBSERVING)
@pytest.mark.parametrize("takes_part", [False, True])
def test_hook__of_an_observer(
    hook: str, takes_part: bool, make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry]
) -> None:
    arguments: dict[str, Any] = {"run_id": "r1", **OBSERVING[hook]}
    make_distribution("toy-lab", OBSERVE.format(hook=hook, arguments=", ".join(arguments)))
    registry = registry_of_site()
    participants = frozenset({"toy-lab"} if takes_part else ())
    notify(registry, hook, participants, **arguments)
    (module,) = registry.modules_of("toy-lab")
    blind = takes_part and hook in ("dfkdbench_evaluated", "dfkdbench_run_finished")
    assert ([] if blind else [tuple(arguments.values())]) == module.SEEN


def test_kinds__are_listed_by_commands_that_the_page_names() -> None:
    for command in re.findall(r"`dfkdbench list\s(\w+)`", TEXT):
        assert CliRunner().invoke(main, ["list", command]).exit_code == 0

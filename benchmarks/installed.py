"""Whatever is installed, found by the registry and built for a timing: methods on digits, parts on a toy task."""

from __future__ import annotations

from dfkdbench.assembly import Assembly
from dfkdbench.bench import Request
from dfkdbench.conformance.subjects import Subject
from dfkdbench.conformance.task import Task
from dfkdbench.conformance.testbed import assemble, home_of, plan_around, shorten
from dfkdbench.errors import PlanError
from dfkdbench.plan import Plan
from dfkdbench.registry import load_registry
from dfkdbench.timing.untrained import plan_untrained

BATCH = 64
TASK = Task(channels=3, image_size=32, classes=10, trained=False)
CELLS = (("resnet_s:resnet_xs", 1), ("resnet_s:mh3_resnet_xs", 3))
"""Pair and number of teachers: the second where a method takes no other."""


def methods() -> list[str]:
    """Every method that needs no real samples."""
    registry = load_registry()
    real = {name for name, owned in registry.components["generator"].items() if "real_samples" in owned.item.needs}
    shelf = registry.methods.items()
    return sorted({owned.item.name for _, owned in shelf if owned.item.recipe.generator.name not in real})


def parts(kind: str) -> list[str]:
    """Every part of a kind that needs no real samples."""
    shelf = load_registry().components[kind].items()
    return sorted(name for name, owned in shelf if "real_samples" not in owned.item.needs)


def subject(kind: str, name: str) -> Subject:
    """A part, with its description."""
    registry = load_registry()
    return Subject(kind, name, registry.shelf(kind).get(name), registry)


def plan_method(name: str) -> Plan:
    """A method with its preset for digits, on the first of `CELLS` that it takes.

    Raises:
        PlanError: It takes none.
    """
    for pair, teachers in CELLS[:-1]:
        try:
            return _plan(name, pair, teachers)
        except PlanError:
            continue
    return _plan(name, *CELLS[-1])


def _plan(name: str, pair: str, teachers: int) -> Plan:
    settings = (f"batch_size={BATCH}",)
    request = Request(name, "digits", pair, settings=settings, teacher_count=teachers, device="cpu")
    return plan_untrained(load_registry(), request)


def assemble_part(kind: str, name: str) -> Assembly:
    """A run of neutral parts, its teachers of random weights, around a part."""
    part = subject(kind, name)
    plan = plan_around(part, home_of(part), TASK, overrides=[("batch_size", BATCH, "--set")])
    return assemble(shorten(plan), TASK)

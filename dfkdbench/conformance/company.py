"""Checks of a subject among others: declared access, every built-in part beside it, and a student that learns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

import torch

from dfkdbench.access import explain
from dfkdbench.config import Setting
from dfkdbench.conformance.checks import Breach, DoesNotApply
from dfkdbench.conformance.subjects import Subject
from dfkdbench.conformance.testbed import (
    TASK,
    Company,
    assemble,
    built_ins,
    home_of,
    method_around,
    plan_around,
    run_to_end,
    shorten,
    with_access,
)
from dfkdbench.descriptors import SIGNALS, TEACHER_ACCESS
from dfkdbench.errors import PlanError
from dfkdbench.plan import Plan

_OTHER_SLOTS = ("generator", "loss", "combiner", "replay", "aggregator")
_LENGTHS = {"rounds": 20, "student_steps": 10, "generator_steps": 10}
_STUDENT: tuple[Setting, ...] = (
    ("student.kind", "adam", "--set"),
    ("student.lr", 3e-3, "--set"),
    ("student.schedule", "constant", "--set"),
    ("student.warmup", 0.0, "--set"),
)
"""An optimiser for a student of a few thousand weights; rates for large ones would decide instead of the method."""

_STUDENT_STEPS = 120
_TEST_IMAGES = 400


def sees_what_it_declares(subject: Subject) -> str:
    """It runs with a teacher that gives what it declares, in company that declares next to nothing."""
    home = home_of(subject)
    method = method_around(subject, home, losses=("total_variation",), student="hard_labels")
    try:
        plan = shorten(plan_around(subject, home, method=method), rounds=1)
        assemble(plan)
    except PlanError as refusal:
        raise DoesNotApply(f"it takes no company that declares nothing. {refusal.message}") from None
    try:
        run_to_end(assemble(plan))
    except Exception as error:  # whatever comes of a withheld signal: what counts is whether access mends it
        if _runs_with_all_access(plan):
            raise Breach(f"It uses more than it declares. {explain(error, plan.access)}") from error
        raise DoesNotApply("it fails with any access; see shapes") from None
    return f"runs with {', '.join(level for level in TEACHER_ACCESS if level in plan.access) or 'nothing'}"


def _runs_with_all_access(plan: Plan) -> bool:
    everything = tuple(sorted({*SIGNALS} - {"heads"}))
    parts = {
        group: {name: part.model_copy(update={"needs": (*part.needs, *everything)}) for name, part in found.items()}
        for group, found in (("losses", plan.losses), ("student_losses", plan.student_losses))
    }
    with suppress(Exception):  # the same again
        run_to_end(assemble(with_access(plan.model_copy(update=parts), (*plan.access, *TEACHER_ACCESS))))
        return True
    return False


def composes(subject: Subject) -> str:
    """With each built-in part in the other slots it trains for a round, or is refused by name."""
    companies = _companies(subject)
    trained, refused = 0, 0
    for company, overrides in companies:
        told = ", ".join(f"{key.removesuffix('.weight')}={value}" for key, value, _ in overrides) or "as it is"
        try:
            run_to_end(assemble(shorten(plan_around(subject, company, overrides=overrides), rounds=1, student_steps=1)))
        except PlanError:
            refused += 1
            continue
        except Exception as error:  # anything but a refusal is what this looks for
            raise Breach(f"With {told} ({company}): {type(error).__name__}: {error}") from error
        trained += 1
    return f"trained with {trained} combinations, refused {refused} by name"


def _companies(subject: Subject) -> list[tuple[Company, tuple[Setting, ...]]]:
    """Every built-in part in each slot that the subject leaves free, one at a time."""
    home = home_of(subject)
    found: list[tuple[Company, tuple[Setting, ...]]] = [(home, ())]
    for slot in _OTHER_SLOTS:
        if slot == subject.kind and slot != "loss":
            continue
        for name, item in built_ins(subject, slot).items():
            found += [(home, setting) for setting in _settings(slot, name, item.role)]
    return found


def _settings(slot: str, name: str, role: str | None) -> Iterator[tuple[Setting, ...]]:
    if slot == "loss":
        group = "losses" if role == "image" else "student_losses"
        yield ((f"{group}.{name}.weight", 1.0, "--loss"),)
    else:
        yield ((slot, name, f"--{slot}"),)


def learns(subject: Subject) -> str:
    """A student of a hundred steps does better than chance on the toy test set."""
    plan = _stretch(shorten(plan_around(subject, home_of(subject), overrides=_STUDENT), **_LENGTHS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        assembly = run_to_end(assemble(plan))
    images, labels = TASK.draw(_TEST_IMAGES, seed=2)
    with torch.no_grad():
        decisions = assembly.student.eval()(images).argmax(dim=1)
    accuracy = float((decisions == labels).float().mean())
    chance = 1 / TASK.classes
    needed = chance + 3 * math.sqrt(chance * (1 - chance) / _TEST_IMAGES)
    steps = f"after {assembly.meter.student_steps} student steps"
    if accuracy < needed:
        raise Breach(
            f"The student gets {accuracy:.0%} of the toy test set right {steps}; chance is {chance:.0%}, and "
            f"{needed:.0%} would be above it."
        )
    return f"{accuracy:.0%} of the toy test set {steps}; chance is {chance:.0%}"


def _stretch(plan: Plan) -> Plan:
    """The plan with so many rounds of its phases that train the student that these make a hundred steps."""
    steps = sum(one.phase.student_steps for one in plan.phases)
    rounds = max(2, _STUDENT_STEPS // max(1, steps))
    phases = tuple(
        one.model_copy(update={"rounds": rounds if one.phase.student_steps else one.rounds}) for one in plan.phases
    )
    return plan.model_copy(
        update={
            "phases": phases,
            "student_steps": sum(one.rounds * one.phase.student_steps for one in phases),
            "generator_steps": sum(one.rounds * one.phase.generator_steps for one in phases),
        }
    )

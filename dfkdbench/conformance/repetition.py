"""Checks of a run made again: state that travels, the same student after a stop, and whoever judges."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.conformance.checks import Breach, DoesNotApply
from dfkdbench.conformance.shapes import equal_trees
from dfkdbench.conformance.subjects import Subject
from dfkdbench.conformance.testbed import (
    TASK,
    assemble,
    home_of,
    home_plan,
    prepared_toy,
    run_to_end,
    student_hash,
)
from dfkdbench.plan import Plan
from dfkdbench.verification.repetition import students_by_judge

_ROUNDS = 3
_TEST_IMAGES = 64


def has_plain_state(subject: Subject) -> str:
    """After a few rounds, the state goes through a checkpoint into fresh parts and comes out as it went in."""
    plan = home_plan(subject)
    assembly, fresh = run_to_end(assemble(plan)), assemble(plan)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        try:
            save_tree(assembly.state_dict(), path)
        except TypeError as error:
            raise Breach(f"The state can't be saved: {error}.") from None
        loaded = load_tree(path)
    with torch.random.fork_rng(devices=[]):
        fresh.load_state_dict(loaded)
    before, after = assembly.state_dict(), fresh.state_dict()
    changed = [name for name in before if name != "global_rng" and not equal_trees(before[name], after[name])]
    if changed:
        raise Breach(f"After load_state_dict(state_dict()), the state of '{changed[0]}' is another one.")
    return f"{len(before)} states travelled"


def repeats(subject: Subject) -> str:
    """The same plan twice gives the same student."""
    plan = home_plan(subject, rounds=_ROUNDS)
    first, second = _student_of(plan), _student_of(plan)
    if first != second:
        raise Breach(f"Two runs of one plan gave two students, {first[:12]} and {second[:12]}.")
    return f"two runs of one plan gave the student {first[:12]}"


def resumes(subject: Subject) -> str:
    """A run that is stopped after a round, saved and taken up by a fresh one gives the same student."""
    plan = home_plan(subject, rounds=_ROUNDS)
    whole = _student_of(plan)
    rounds = sum(planned.rounds for planned in plan.phases)
    stops = sorted({1, rounds - 1} - {0})
    for stop in stops:
        stopped = _student_of(plan, stop)
        if stopped != whole:
            raise Breach(
                f"Stopped after round {stop} of {rounds} and resumed, the run gave the student {stopped[:12]}; "
                f"undisturbed it gave {whole[:12]}."
            )
    return f"stopped after round {', '.join(map(str, stops))} of {rounds}, the student is {whole[:12]}"


def _student_of(plan: Plan, stop: int | None = None) -> str:
    """Hash of the student of a run, stopped after some rounds and resumed where asked for."""
    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(plan.seed)
        assembly = assemble(plan)
        if stop is not None:
            for _ in range(stop):
                assembly.loop.advance()
            save_tree(assembly.state_dict(), Path(folder) / "state.safetensors")
            torch.manual_seed(plan.seed + 1)
            assembly = assemble(plan)
            assembly.load_state_dict(load_tree(Path(folder) / "state.safetensors"))
        return student_hash(run_to_end(assembly))


def is_blind(subject: Subject) -> str:
    """Judged with the test set, with noise and not at all, in three sealed processes: one student."""
    company, plan = home_of(subject), home_plan(subject)
    if plan.side == "judge" or plan.readout is not None:
        raise DoesNotApply("it takes real samples, so that it is no part of a sealed run alone")
    plan = plan.model_copy(update={"evaluate_at": (plan.student_steps,)})
    images = TASK.image_set(_TEST_IMAGES, seed=2)
    prepared = prepared_toy(subject, company, images)
    students = students_by_judge(plan, prepared, _Silence())
    if len(set(students.values())) > 1:
        told = ", ".join(f"{way}: {sha256[:12]}" for way, sha256 in students.items())
        raise Breach(f"Three sealed runs of one plan gave different students ({told}).")
    return f"one student ({students['noise'][:12]}), whoever judges: {', '.join(students)}"


class _Silence:
    """Shows nothing of runs."""

    def __call__(self, line: str) -> None:
        """Drops a line."""

    def expect(self, plan: Plan) -> None:
        """Drops the plan of a run that starts."""

    def close(self) -> None:
        """Nothing was opened."""

"""Boards and entries made by hand, whose ids and hashes hold."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, pvariance
from typing import Any, NamedTuple

import pytest

from dfkdbench.boards.definition import FILE
from dfkdbench.files import canonical_json, sha256_of

Tree = dict[str, Any]
TEACHER = "b" * 64
TEST_SET = "c" * 64
RULES = f"""
schema = 1
name = "toys"
title = "Toys"
protocol = "2026.1"
minimum_seeds = 3

[[cells]]
dataset = "digits"
pair = "lenet_s:lenet_xs"
test_set_sha256 = "{TEST_SET}"
teachers = [{{ name = "digits-lenet_s-s0", sha256 = "{TEACHER}", accuracy = 99.0 }}]
budgets = [
    {{ name = "quick", student_samples = 1000, teacher_queries = 6000, device_seconds = 60, evaluations = 3 }},
]
"""


class Made(NamedTuple):
    """An entry before it is written."""

    run_id: str
    plan: Tree
    result: Tree

    def write(self, board: Path) -> Path:
        """Writes it among a board's entries; gives its folder."""
        return self.write_to(board / "entries" / self.run_id)

    def write_to(self, folder: Path) -> Path:
        """Writes it into a folder of any name."""
        folder.mkdir(parents=True)
        (folder / "plan.json").write_text(json.dumps(self.plan), encoding="utf-8")
        (folder / "result.json").write_text(json.dumps(self.result), encoding="utf-8")
        return folder

    def changed(self, result: Tree | None = None, plan: Tree | None = None) -> Made:
        """The same with other fields, its id made anew."""
        return finish({**self.plan, **(plan or {})}, {**self.result, **(result or {})})


MakeEntry = Callable[..., Made]


def part(kind: str, name: str, weight: float = 1.0, **options: Any) -> Tree:
    return {
        "kind": kind,
        "name": name,
        "target": f"toy:{name}",
        "options_type": "toy:Options",
        "options": options,
        "weight": weight,
        "needs": [],
        "provides": [],
        "version": "1",
        "distribution": "dfkdbench",
    }


def recipe_of(parts: Tree, **settings: Any) -> Tree:
    """A recipe as plans hold it. `parts`: slot -> name, losses and student losses -> weights by name."""
    slots = {"generator": "conv", "combiner": "sum", "replay": "none", "aggregator": "first"} | parts
    losses = {group: slots.pop(group, default) for group, default in (("losses", {}), ("student_losses", {"kl": 1.0}))}
    return {
        **{slot: {"name": name, "options": {}} for slot, name in slots.items()},
        **{
            group: {name: {"weight": weight, "options": {}} for name, weight in weights.items()}
            for group, weights in losses.items()
        },
        "batch_size": 64,
        "student": {"kind": "adam", "lr": 0.001},
        **settings,
    }


def finish(plan: Tree, result: Tree) -> Made:
    """Puts the id that a plan hashes to into its record."""
    digest = sha256_of(canonical_json(plan).encode())[:12]
    pair = str(plan["pair"]).replace(":", "-")
    run_id = f"{plan['plugin']}-{plan['input']['dataset']}-{pair}-s{plan['seed']}-{digest}"
    return Made(run_id, plan, {**result, "run_id": run_id})


def make_plan(plugin: str, seed: int, recipe: Tree, **changes: Any) -> Tree:
    plan: Tree = {
        "protocol": "2026.1",
        "engine": "2",
        "plugin": plugin,
        "method_version": "1",
        "distribution": "toy-lab",
        "loop": None,
        "input": {"dataset": "digits", "classes": 10, "channels": 1, "image_size": 16, "mean": [0.3], "std": [0.3]},
        "pair": "lenet_s:lenet_xs",
        "teachers": [{"name": "digits-lenet_s-s0", "sha256": TEACHER}],
        "budget": {
            "name": "quick",
            "student_samples": 1000,
            "teacher_queries": 6000,
            "device_seconds": 60,
            "evaluations": 3,
        },
        "seed": seed,
        "device": "cpu",
        "recipe": recipe,
        "slots": {
            slot: part(slot, recipe[slot]["name"], **recipe[slot]["options"])
            for slot in ("generator", "combiner", "replay", "aggregator")
        },
        **{
            group: {name: part("loss", name, loss["weight"], **loss["options"]) for name, loss in recipe[group].items()}
            for group in ("losses", "student_losses")
        },
        "evaluate_at": [5, 10, 15],
        "access": ["soft_labels"],
        "league": "soft-labels",
        "side": "worker",
        "test_set_sha256": TEST_SET,
    }
    return copy.deepcopy(plan | changes)


def make_result(plan: Tree, curve: Sequence[float], status: str) -> Tree:
    student = sha256_of(canonical_json([plan, "student"]).encode())
    evaluations = [
        {
            "index": index,
            "student_steps": 5 * (index + 1),
            "student_samples": 320 * (index + 1),
            "teacher_queries": 400 * (index + 1),
            "replay_bytes": 0,
            "seconds": 2.0 * (index + 1),
            "accuracy": accuracy,
            "calibration_error": 3.0,
            "worst_class_accuracy": 40.0,
            "sha256": student if index == len(curve) - 1 else sha256_of(f"{student}{index}".encode()),
        }
        for index, accuracy in enumerate(curve)
    ]
    finished = status == "finished"
    drops = [max(curve[: index + 1]) - accuracy for index, accuracy in enumerate(curve)]
    return {
        "schema_version": 1,
        **{key: plan[key] for key in ("protocol", "plugin", "distribution", "pair", "seed", "league", "device")},
        "dataset": plan["input"]["dataset"],
        "budget": plan["budget"]["name"],
        "status": status,
        "error": "" if finished else "the loss is NaN",
        "accuracy_final": curve[-1] if finished else None,
        "accuracy_oracle": max(curve, default=None),
        "accuracy_mean": fmean(curve) if curve else None,
        "accuracy_variance": pvariance(curve) if curve else None,
        "accuracy_last5": fmean(curve[-5:]) if curve else None,
        "worst_drop": max(drops, default=None),
        "teacher_accuracy": 99.0,
        "student_sha256": student if finished else None,
        "teacher_sha256": plan["teachers"][0]["sha256"],
        "student_samples": 320 * len(curve),
        "teacher_queries": 400 * len(curve),
        "train_seconds": 2.5 * len(curve),
        "peak_memory_mb": 300.0,
        "replay_bytes": 0,
        "isolation": "landlock abi 7" if plan["side"] == "worker" else "none: control on real data",
        "hardware": "Toy CPU (2 cores)",
        "finished_at": f"2026-03-01T00:00:{plan['seed']:02}+00:00",
        "evaluations": evaluations,
    }


@pytest.fixture
def make_entry() -> MakeEntry:
    """Makes an entry; a final accuracy or a whole curve, other parts, settings and fields of the plan are taken."""

    def make(
        plugin: str = "toy",
        seed: int = 0,
        accuracy: float | Sequence[float] = 90.0,
        parts: Tree | None = None,
        settings: Tree | None = None,
        status: str = "finished",
        **plan_changes: Any,
    ) -> Made:
        curve = [50.0, 60.0, accuracy] if isinstance(accuracy, int | float) else list(accuracy)
        plan = make_plan(plugin, seed, recipe_of(parts or {}, **(settings or {})), **plan_changes)
        return finish(plan, make_result(plan, curve, status))

    return make


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A board with one cell and no entry."""
    folder = tmp_path / "board"
    folder.mkdir()
    (folder / FILE).write_text(RULES, encoding="utf-8")
    return folder


@pytest.fixture
def keep_plain(board: Path) -> Callable[..., None]:
    """Writes the plain settings of a method into the board."""

    def keep(plugin: str = "toy", parts: Tree | None = None, distribution: str = "toy-lab", **settings: Any) -> None:
        method = {
            "schema": 1,
            "plugin": plugin,
            "distribution": distribution,
            "method_version": "1",
            "dataset": "digits",
            "pair": "lenet_s:lenet_xs",
            "budget": "quick",
            "recipe": recipe_of(parts or {}, **settings),
        }
        path = board / "methods" / distribution / f"{plugin}-1-digits-lenet_s-lenet_xs-quick.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(method), encoding="utf-8")

    return keep

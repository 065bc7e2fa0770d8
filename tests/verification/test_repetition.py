"""Levels 2 and 3 of `dfkdbench verify`: what only a repetition tells."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from dfkdbench.bench import Request, prepare
from dfkdbench.cli import main
from dfkdbench.datasets.images import TensorImages
from dfkdbench.files import sha256_of
from dfkdbench.plan import Plan
from dfkdbench.records import Result, summarise
from dfkdbench.registry import Registry, load_registry
from dfkdbench.runfolder import RunFolder
from dfkdbench.verification.checks import Findings
from dfkdbench.verification.contents import check_contents
from dfkdbench.verification.remake import Remade, remake
from dfkdbench.verification.repetition import compare, noise_like
from dfkdbench.verification.stored import Stored

Tree = dict[str, Any]


@pytest.fixture
def forged(honest: Path, tmp_path: Path) -> Path:
    """A copy to forge."""
    return Path(shutil.copytree(honest, tmp_path / "runs" / honest.name))


def read(folder: Path) -> Tree:
    tree: Tree = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return tree


def claim_as_its_own(folder: Path, source: Path) -> None:
    """The students and figures of another run, in the record of this one: consistent throughout."""
    tree, theirs = read(folder), read(source)
    figures = ("accuracy", "calibration_error", "worst_class_accuracy", "worst_class", "agreement", "sha256")
    for mine, its in zip(tree["evaluations"], theirs["evaluations"], strict=True):
        mine |= {name: its[name] for name in figures}
        snapshot = f"snapshots/{mine['index']:04d}.safetensors"
        shutil.copyfile(source / snapshot, folder / snapshot)
    shutil.copyfile(source / "student.safetensors", folder / "student.safetensors")
    plan = Plan.model_validate_json((folder / "plan.json").read_text(encoding="utf-8"))
    again = summarise(plan, "finished", "", tree["evaluations"], {}, "", 0.0).model_dump(mode="json")
    names = [name for name in again if name.startswith("accuracy_") or name in ("worst_drop", "student_sha256")]
    tree |= {name: again[name] for name in names} | {"class_accuracies": theirs["class_accuracies"]}
    (folder / "result.json").write_text(json.dumps(tree), encoding="utf-8")


def verify(folder: Path, level: int, expect: int) -> tuple[dict[str, tuple[str, str]], str]:
    """Name -> (outcome, reason) of every check above level 1, and what was told meanwhile."""
    done = CliRunner().invoke(main, ["verify", str(folder), "--level", str(level), "--format", "json"])
    assert done.exit_code == expect, done.output
    (report,) = json.loads(done.stdout)
    assert not [row for row in report["checks"] if row["level"] < 2 and row["outcome"] != "pass"]
    return {row["name"]: (row["outcome"], row["reason"]) for row in report["checks"] if row["level"] > 1}, done.stderr


def stored_of(folder: Path) -> Stored:
    stored = check_contents(RunFolder(folder), Findings())
    assert stored is not None
    return stored


def remade_of(folder: Path) -> Remade:
    return remake(stored_of(folder).plan, load_registry(), None)


def repeated(folder: Path, accuracy: float, **changes: Any) -> Result:
    """What a repetition gave: another student of this accuracy."""
    return Result.model_validate(read(folder) | {"accuracy_final": accuracy, "student_sha256": "e" * 64} | changes)


def test_honest__levels_2_and_3_hold_and_show_their_progress(honest: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in honest.rglob("*")}
    found, told = verify(honest, 3, expect=0)
    student = sha256_of((honest / "student.safetensors").read_bytes())
    assert found["blindness"][0] == "pass"
    assert student[:12] in found["blindness"][1]
    assert "the same student to the bit" in found["repetition"][1]
    for way in ("the test set", "noise", "no judge"):
        assert f"blindness: 80 student steps, judged with {way}" in told
    assert "repetition: 80 student steps, seed 0" in told
    assert "100%" in told
    assert {path: path.stat().st_mtime_ns for path in honest.rglob("*")} == before


def test_level_3__finds_a_record_that_something_else_produced(forged: Path, other: Path) -> None:
    """Student, snapshots, curve, hashes and figures of a run on real data: only a repetition tells."""
    claim_as_its_own(forged, other)
    found, _ = verify(forged, 3, expect=1)
    assert found["blindness"][0] == "pass"
    outcome, reason = found["repetition"]
    assert outcome == "fail"
    assert "another student" in reason
    assert "must be the same to the bit" in reason


def test_level_3__elsewhere_another_student_must_lie_in_the_claimed_spread(forged: Path) -> None:
    accuracy = read(forged)["accuracy_final"]
    (forged / "launch.json").unlink()
    stored = stored_of(forged)
    problem, fine = compare(stored, repeated(forged, accuracy - 4.8))
    assert not problem
    assert "one seed claims no spread" in fine
    assert "does not say with how many threads" in fine
    problem, _ = compare(stored, repeated(forged, accuracy - 5.2))
    assert f"recorded {accuracy:.2f} %, repeated {accuracy - 5.2:.2f} %, outside" in problem


def test_level_3__the_claim_rests_on_seeds_of_the_same_settings_beside_the_run(forged: Path) -> None:
    accuracy = read(forged)["accuracy_final"]
    plan = stored_of(forged).plan
    for seed, settings in ((1, {}), (2, {}), (3, {"replay_size": 1})):
        sibling = plan.model_copy(update={"seed": seed, **settings})
        record = read(forged) | {"run_id": sibling.run_id, "seed": seed, "accuracy_final": accuracy + seed}
        folder = forged.parent / sibling.run_id
        folder.mkdir()
        (folder / "plan.json").write_text(sibling.model_dump_json(), encoding="utf-8")
        (folder / "result.json").write_text(json.dumps(record), encoding="utf-8")
    (forged / "launch.json").unlink()
    stored = stored_of(forged)
    _, fine = compare(stored, repeated(forged, accuracy + 1))
    assert "95 % prediction interval of 3 seeds: 0, 1, 2" in fine
    assert compare(stored, repeated(forged, accuracy - 4))[0]


def test_level_3__a_record_of_other_shortcuts_is_one_of_another_machine(forged: Path) -> None:
    accuracy = read(forged)["accuracy_final"]
    launch = json.loads((forged / "launch.json").read_text(encoding="utf-8"))
    assert "must be the same to the bit" in compare(stored_of(forged), repeated(forged, accuracy))[0]
    for shortcuts, why in (
        (["one-of-later"], "not known here: one-of-later"),
        (None, "does not say with which shortcuts"),
    ):
        (forged / "launch.json").write_text(json.dumps(launch | {"shortcuts": shortcuts}), encoding="utf-8")
        problem, fine = compare(stored_of(forged), repeated(forged, accuracy))
        assert not problem
        assert why in fine


def test_level_3__a_compiled_record_is_one_of_another_machine(forged: Path) -> None:
    accuracy = read(forged)["accuracy_final"]
    for state, problem in (("graph", "must be the same to the bit"), ("compile", "")):
        (forged / "result.json").write_text(json.dumps(read(forged) | {"capture": {"state": state, "why": ""}}))
        told, fine = compare(stored_of(forged), repeated(forged, accuracy))
        assert problem in told
        assert bool(told) == bool(problem)
        assert ("compiled there" in fine) == (state == "compile")


def test_level_3__a_run_that_ends_otherwise_is_told(forged: Path) -> None:
    again = repeated(forged, 0.0, status="diverged", error="the loss is NaN", accuracy_final=None)
    assert compare(stored_of(forged), again)[0] == "recorded as finished, ended as diverged now: the loss is NaN"


def test_short_plan__keeps_method_and_settings_and_shortens_every_phase(honest: Path, registry: Registry) -> None:
    remade = remade_of(honest)
    assert remade.short_plan() == remade.plan
    phases = {"first": {"rounds": 400, "student_steps": 2}, "then": {"rounds": None}}
    long = _longer(remade, {"phases": phases, "batch_size": 128})
    short = long.short_plan()
    assert [planned.rounds for planned in short.phases] == [5, 10]
    assert short.budget.name == "smoke"
    assert short.student_steps * 128 <= short.budget.student_samples == 2560
    assert short.slots == long.plan.slots
    vast = _longer(remade, {"batch_size": 4096}).short_plan()
    assert [planned.rounds for planned in vast.phases] == [2]


def _longer(remade: Remade, changes: Tree) -> Remade:
    """As planned for the standard tier with other settings."""
    settings = [f"batch_size={changes['batch_size']}"]
    prepared = prepare(Request("noise", "digits", settings=tuple(settings)), lambda line: None, remade.registry)
    recipe = prepared.resolved.recipe
    if "phases" in changes:
        phase = next(iter(recipe.phases.values()))
        phases = {name: phase.model_copy(update=given) for name, given in changes["phases"].items()}
        recipe = recipe.model_copy(update={"phases": phases})
    prepared.resolved = replace(prepared.resolved, recipe=recipe)
    return remake(prepared.plan(0), remade.registry, None)


def test_noise__has_the_size_of_the_test_set_and_nothing_of_it() -> None:
    images = TensorImages(torch.zeros(30, 1, 8, 8, dtype=torch.uint8), torch.zeros(30), 3)
    noise = noise_like(images, "cpu")
    assert (len(noise), noise.shape, noise.classes) == (30, (1, 8, 8), 3)
    assert noise.fingerprint() == noise_like(images, "cpu").fingerprint() != images.fingerprint()

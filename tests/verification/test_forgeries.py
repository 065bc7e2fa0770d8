"""`dfkdbench verify` on honest runs and on forged ones: which level says what."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from dfkdbench.cli import main
from dfkdbench.files import sha256_of
from dfkdbench.plan import Plan
from dfkdbench.records import summarise
from dfkdbench.teachers.store import TeacherStore

Tree = dict[str, Any]


def verify(folder: Path, level: int = 1, expect: int = 1) -> dict[tuple[int, str], tuple[str, str]]:
    """(level, name) -> (outcome, reason) of every check."""
    done = CliRunner().invoke(main, ["verify", str(folder), "--level", str(level), "--format", "json"])
    assert done.exit_code == expect, done.output
    (report,) = json.loads(done.stdout)
    assert report["holds"] == (expect == 0)
    return {(row["level"], row["name"]): (row["outcome"], row["reason"]) for row in report["checks"]}


def failures(folder: Path, level: int = 1) -> dict[str, str]:
    """ "L1 name" -> reason of every check that failed."""
    found = verify(folder, level)
    return {f"L{number} {name}": reason for (number, name), (outcome, reason) in found.items() if outcome == "fail"}


@pytest.fixture
def forged(honest: Path, tmp_path: Path) -> Path:
    """A copy to forge."""
    return Path(shutil.copytree(honest, tmp_path / "runs" / honest.name))


def read(folder: Path, name: str = "result") -> Tree:
    tree: Tree = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return tree


def write(folder: Path, tree: Tree, name: str = "result") -> None:
    (folder / f"{name}.json").write_text(json.dumps(tree, indent=2, sort_keys=True), encoding="utf-8")


def planned(folder: Path) -> Plan:
    return Plan.model_validate_json((folder / "plan.json").read_text(encoding="utf-8"))


def edit(folder: Path, name: str = "result", **changes: Any) -> None:
    write(folder, read(folder, name) | changes, name)


def edit_evaluation(folder: Path, index: int, **changes: Any) -> None:
    """Changes an evaluation and nothing that follows from it."""
    tree = read(folder)
    tree["evaluations"][index] |= changes
    write(folder, tree)


def make_consistent(folder: Path) -> None:
    """Figures as the curve gives them: what a careful forger does."""
    tree, plan = read(folder), planned(folder)
    again = summarise(plan, "finished", "", tree["evaluations"], {}, "", 0.0).model_dump(mode="json")
    follows = ("final", "oracle", "mean", "variance", "last5")
    names = [*(f"accuracy_{name}" for name in follows), "worst_drop", "student_sha256"]
    write(folder, tree | {name: again[name] for name in names})


def rehash(folder: Path) -> Path:
    """The id of the plan as it is now, in record and folder name."""
    run_id = planned(folder).run_id
    edit(folder, run_id=run_id)
    return folder.rename(folder.parent / run_id)


def put_student(folder: Path, student: Path) -> None:
    """Another student with its hash wherever one stands."""
    for name in ("student.safetensors", "snapshots/0001.safetensors"):
        shutil.copyfile(student, folder / name)
    edit_evaluation(folder, -1, sha256=sha256_of(student.read_bytes()))
    make_consistent(folder)


def teacher_weights() -> Path:
    return TeacherStore.default().get("digits-lenet_s-s0").weights


def test_honest__every_check_of_levels_0_and_1_holds(honest: Path) -> None:
    found = verify(honest, expect=0)
    assert {outcome for outcome, _ in found.values()} == {"pass"}
    assert {level for level, _ in found} == {0, 1}
    assert "same hardware: must be equal" in found[1, "accuracy"][1]
    assert found[1, "curve"][1].startswith("2 of 2 snapshots")


def test_table__one_line_a_check_and_a_sum(honest: Path, forged: Path) -> None:
    edit(forged, accuracy_final=99.0)
    done = CliRunner().invoke(main, ["verify", str(honest / "result.json"), str(forged), "--level", "0"])
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0] == str(honest)
    assert any(line.startswith("  L0  pass     student ") for line in lines)
    assert any(line.startswith("  L0  FAIL     figures    accuracy_final is 99.0") for line in lines)
    assert lines[-1] == "  1 of 10 checks failed"


def change_accuracy(folder: Path) -> None:
    edit(folder, accuracy_final=99.0)


def change_best(folder: Path) -> None:
    edit(folder, accuracy_oracle=100.0)


def change_curve(folder: Path) -> None:
    edit_evaluation(folder, 0, accuracy=1.0, worst_class_accuracy=0.0)


def change_to_half_an_image(folder: Path) -> None:
    edit_evaluation(folder, -1, accuracy=96.31)
    make_consistent(folder)


def drop_an_evaluation(folder: Path) -> None:
    tree = read(folder)
    write(folder, tree | {"evaluations": tree["evaluations"][1:]})
    make_consistent(folder)


def move_an_evaluation(folder: Path) -> None:
    edit_evaluation(folder, 0, student_steps=79)


def change_a_byte_of_the_student(folder: Path) -> None:
    data = bytearray((folder / "student.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "student.safetensors").write_bytes(data)


def put_the_teacher(folder: Path) -> None:
    put_student(folder, teacher_weights())


def change_the_plan(folder: Path) -> None:
    edit(folder, "plan", student_steps=7)


def name_another_league(folder: Path) -> None:
    edit(folder, league="hard-labels")


def link_the_student(folder: Path) -> None:
    (folder / "student.safetensors").rename(folder / "elsewhere")
    (folder / "student.safetensors").symlink_to(folder / "elsewhere")


def use_more_samples(folder: Path) -> None:
    edit(folder, student_samples=2561)


def date_it_ahead(folder: Path) -> None:
    edit(folder, finished_at="2999-01-01T00:00:00+00:00")


def claim_a_better_seal(folder: Path) -> None:
    edit(folder, isolation="none: control on real data")


def put_a_number_that_is_none(folder: Path) -> None:
    edit_evaluation(folder, 0, seconds=float("nan"))


def lack_a_field(folder: Path) -> None:
    tree = read(folder)
    del tree["league"]
    write(folder, tree)


def remove_the_plan(folder: Path) -> None:
    (folder / "plan.json").unlink()


def rename(folder: Path) -> None:
    folder.rename(folder.parent / "rdskd-digits")


@pytest.mark.parametrize(
    ("forge", "check", "reason"),
    [
        (change_accuracy, "figures", "accuracy_final is 99.0, the evaluations give"),
        (change_best, "figures", "accuracy_oracle is 100.0, the evaluations give"),
        (change_curve, "figures", "the evaluations give"),
        (change_to_half_an_image, "images", "evaluations.1.accuracy is 96.31 %, which is 481.5500 of 500 test images"),
        (drop_an_evaluation, "curve", "1 evaluations, the plan has 2"),
        (move_an_evaluation, "curve", "evaluation 0 is after 79 student steps, the plan says 40"),
        (change_a_byte_of_the_student, "student", "the record says"),
        (put_the_teacher, "student", "student.safetensors is the file of the teacher digits-lenet_s-s0"),
        (change_the_plan, "run id", "plan.json hashes to noise-digits-"),
        (name_another_league, "agreement", "league is 'hard-labels' in result.json and 'soft-labels' in plan.json"),
        (link_the_student, "student", "Can't read"),
        (use_more_samples, "budget", "2,561 student samples, the budget 'smoke' allows 2,560"),
        (date_it_ahead, "origin", "lies in the future"),
        (claim_a_better_seal, "origin", "the plan's side is the worker's"),
        (put_a_number_that_is_none, "record", "evaluations.0.seconds is nan, expected a finite number"),
        (lack_a_field, "record", "league: Field required"),
        (remove_the_plan, "plan", "No such file"),
        (rename, "run id", "the folder is called rdskd-digits, and it holds the run noise-digits-"),
    ],
)
def test_level_0__tells_what_does_not_fit(forge: Callable[[Path], None], check: str, reason: str, forged: Path) -> None:
    forge(forged)
    (folder,) = forged.parent.iterdir()
    found = failures(folder, 0)
    assert reason in found[f"L0 {check}"], found


@pytest.mark.parametrize("name", ["result.json", "plan.json", "student.safetensors"])
def test_level_0__a_truncated_file_is_told(name: str, forged: Path) -> None:
    os.truncate(forged / name, 500)
    found = " ".join(failures(forged, 0).values())
    assert ("is no whole JSON file" if name.endswith("json") else "another student") in found


def test_level_0__the_record_of_another_run_is_told(forged: Path, other: Path) -> None:
    shutil.copyfile(other / "result.json", forged / "result.json")
    found = failures(forged, 0)
    assert f"result.json is the record of {other.name}" in found["L0 run id"]
    assert "plugin is 'real-data' in result.json and 'noise' in plan.json" in found["L0 agreement"]
    assert "another student" in found["L0 student"]


def test_a_level_that_stands_on_a_failed_one_is_not_tried(forged: Path) -> None:
    edit(forged, accuracy_final=99.0)
    found = verify(forged, 3)
    assert [found[level, name][0] for level, name in found if level > 0] == ["skipped"] * 3


def test_level_1__finds_an_accuracy_that_the_student_does_not_have(forged: Path) -> None:
    edit_evaluation(forged, -1, accuracy=99.0)
    make_consistent(forged)
    verify(forged, 0, expect=0)
    found = failures(forged)
    assert "recorded 99.00 %, found" in found["L1 accuracy"]
    assert "same hardware: must be equal" in found["L1 accuracy"]


def test_level_1__finds_an_edited_curve_whose_end_is_true(forged: Path) -> None:
    edit_evaluation(forged, 0, accuracy=98.6)
    make_consistent(forged)
    verify(forged, 0, expect=0)
    found = failures(forged)
    assert list(found) == ["L1 curve"]
    assert "evaluation 0: recorded 98.60 %, found" in found["L1 curve"]


def test_level_1__finds_a_swapped_student_with_its_own_hash(forged: Path, other: Path) -> None:
    put_student(forged, other / "student.safetensors")
    verify(forged, 0, expect=0)
    assert "same hardware: must be equal" in failures(forged)["L1 accuracy"]


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"class_accuracies": [100.0] * 10}, "classes", "class 0: recorded 100.0 %, found"),
        ({"class_accuracies": [50.0]}, "classes", "1 classes in the record, 10 in the data set"),
        ({"synthetic_diversity": 1.0}, "synthetic", "synthetic_diversity recorded 1.0, found"),
        ({"synthetic_class_balance": 1.0}, "synthetic", "synthetic_class_balance recorded 1.0, found"),
        ({"synthetic_frechet": 0.5}, "synthetic", "synthetic_frechet recorded 0.5, found"),
        ({"synthetic_images": 0}, "synthetic", "synthetic_images recorded 0, found 512"),
        ({"synthetic_sha256": "a" * 64}, "synthetic", "synthetic_sha256 recorded aaa"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_level_1__finds_figures_that_student_and_images_do_not_have(
    changes: Tree, check: str, words: str, forged: Path
) -> None:
    edit(forged, **changes)
    verify(forged, 0, expect=0)
    found = failures(forged)
    assert list(found) == [f"L1 {check}"]
    assert words in found[f"L1 {check}"]


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"agreement": 99.0}, "agreement", "agreement with the teachers recorded 99.00 %, found"),
        ({"worst_class": 4}, "classes", "worst class recorded 4, found"),
    ],
    ids=["agreement", "worst class"],
)
def test_level_1__finds_an_agreement_and_a_worst_class_that_the_student_does_not_have(
    changes: Tree, check: str, words: str, forged: Path
) -> None:
    edit_evaluation(forged, -1, **changes)
    verify(forged, 0, expect=0)
    assert words in failures(forged)[f"L1 {check}"]


def test_level_1__finds_other_images_and_files_that_hold_none(forged: Path) -> None:
    images = load_file(forged / "synthetic.safetensors")["images"]
    save_file({"images": images.flip(0)}, forged / "synthetic.safetensors")
    assert "synthetic_sha256 recorded" in failures(forged)["L1 synthetic"]
    (forged / "synthetic.safetensors").write_bytes(bytes(9))
    assert "no safetensors file" in failures(forged)["L1 synthetic"]
    (forged / "synthetic.safetensors").unlink()
    assert "the folder has no synthetic.safetensors" in verify(forged, expect=0)[1, "synthetic"][1]


def test_level_1__a_control_on_real_samples_has_no_synthetic_images(other: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(other, tmp_path / "runs" / other.name))
    assert (1, "synthetic") not in verify(folder, expect=0)
    edit(folder, synthetic_diversity=1.0)
    assert "this control makes none" in failures(folder)["L1 synthetic"]


def test_level_1__a_record_of_an_earlier_version_holds(forged: Path) -> None:
    tree = read(forged)
    new = ("class_accuracies", *(name for name in tree if name.startswith("synthetic_")))
    for name in new:
        del tree[name]
    for evaluation in tree["evaluations"]:
        del evaluation["agreement"], evaluation["worst_class"]
    write(forged, tree)
    found = verify(forged, expect=0)
    assert found[1, "classes"] == (
        "skipped",
        "the record has no figures of classes and teachers: it is of an earlier version",
    )
    assert (1, "synthetic") not in found


def test_level_1__finds_a_student_of_another_architecture(forged: Path, tmp_path: Path) -> None:
    save_file(load_file(teacher_weights()), tmp_path / "resaved.safetensors", metadata={"author": "me"})
    put_student(forged, tmp_path / "resaved.safetensors")
    verify(forged, 0, expect=0)
    assert "don't fit the architecture" in failures(forged)["L1 weights"]


@pytest.mark.parametrize(("factor", "words"), [(1.0, "are those of"), (1.0001, "of their size from those of")])
def test_level_1__finds_the_teacher_in_the_students_place(
    factor: float, words: str, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "runs", "--plugin", "noise", "--pair", "lenet_s:lenet_s")
    assert "in the teacher's architecture" in verify(folder, expect=0)[1, "no teacher"][1]
    weights = {name: tensor * factor for name, tensor in load_file(teacher_weights()).items()}
    save_file(weights, tmp_path / "student", metadata={"author": "me"})
    put_student(folder, tmp_path / "student")
    assert f"the student's weights {'differ by' if factor > 1 else 'are'}" in failures(folder)["L1 no teacher"]
    assert words in failures(folder)["L1 no teacher"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"league": "hard-labels"}, 'league is "hard-labels", expected "soft-labels"'),
        ({"engine": "1"}, 'engine is "1", expected'),
        ({"student_steps": 79}, "student_steps is 79, expected 80"),
        ({"plugin": "noisy"}, "Did you mean 'noise'?"),
        ({"distribution": "another-lab"}, 'distribution is "another-lab", expected "dfkdbench"'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_level_1__finds_a_plan_that_no_installation_makes(changes: Tree, words: str, forged: Path) -> None:
    edit(forged, "plan", **changes)
    edit(forged, **{name: value for name, value in changes.items() if name in read(forged)})
    folder = rehash(forged)
    verify(folder, 0, expect=0)
    assert words in failures(folder)["L1 installed"]


@pytest.mark.parametrize("place", ["student", "generator"])
def test_level_1__runs_no_code_that_a_plan_names(place: str, forged: Path, site: Path) -> None:
    (site / "trap.py").write_text(f"open({str(site / 'sprung')!r}, 'w')\nanything = dict\n", encoding="utf-8")
    plan = read(forged, "plan")
    part = plan["student"] if place == "student" else plan["slots"]["generator"]
    part["target"] = "trap:anything"
    write(forged, plan, "plan")
    found = failures(rehash(forged), 3)
    assert 'target is "trap:anything", expected' in found["L1 installed"]
    assert not (site / "sprung").exists()


def test_level_1__another_machine_is_told_apart_and_has_a_tolerance(forged: Path) -> None:
    edit(forged, hardware="Abacus (2 wires)")
    tree = read(forged)
    accuracy = tree["evaluations"][-1]["accuracy"] + 0.2
    edit_evaluation(forged, -1, accuracy=accuracy)
    make_consistent(forged)
    outcome, reason = verify(forged, expect=0)[1, "accuracy"]
    assert outcome == "pass"
    assert "another machine" in reason
    assert "Abacus (2 wires) there: within 1 of 500 images" in reason
    edit_evaluation(forged, -1, accuracy=accuracy + 0.2)
    make_consistent(forged)
    assert "2 of 500 images" in failures(forged)["L1 accuracy"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("noise-digits-lenet_s-lenet_xs-s1", ("There is no run folder", "Did you mean 'noise-digits-", "runs/ID")),
        ("", ("is a folder of 1 runs", "/*")),
    ],
)
def test_folder__that_is_no_run_is_refused(given: str, words: tuple[str, ...], honest: Path) -> None:
    done = CliRunner().invoke(main, ["verify", str(honest.parent / given)])
    assert done.exit_code == 2
    assert all(word in done.stderr for word in words), done.stderr

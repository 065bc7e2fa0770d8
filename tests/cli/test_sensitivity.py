"""`dfkdbench sensitivity`: ordinary runs, each made once, and what is told of them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome

from dfkdbench.cli import main
from dfkdbench.errors import RunError
from dfkdbench.plan import Plan
from dfkdbench.records import Result, find_results
from dfkdbench.registry import load_registry
from dfkdbench.workerprocess import InterruptedRun

MakeRecord = Callable[..., Result]
ARGUMENTS = ("--dataset", "digits", "--factors", "0.1,10", "--threads", "1")
ONE = ("--plugin", "noise", "--only", "student.lr")
ALL_OF_TWO = ("--plugin", "noise", "--plugin", "random-generator")


class Judge:
    """In place of real runs: writes records whose accuracy falls with the distance of the student's rate from 5e-3."""

    def __init__(self, make_record: MakeRecord) -> None:
        self.make_record = make_record
        self.plans: list[Plan] = []
        self.diverging: set[float] = set()
        self.raising: dict[float, Exception] = {}

    def __call__(self, plan: Plan, prepared: Any, console: Any) -> Result:
        self.plans.append(plan)
        rate = plan.recipe.student.lr
        if rate in self.raising:
            raise self.raising[rate]
        accuracy = None if rate in self.diverging else {5e-3: 90.0, 5e-4: 80.0, 5e-2: 60.0}[rate] + plan.seed
        named = {"run_id": plan.run_id, "league": plan.league, "train_seconds": 30.0}
        result = self.make_record(plan.plugin, plan.seed, accuracy, **named)
        folder = prepared.request.out / plan.run_id
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(result.model_dump_json(), encoding="utf-8")
        return result


@pytest.fixture
def judge(make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch) -> Judge:
    found = Judge(make_record)
    monkeypatch.setattr("dfkdbench.cli.sensitivity.execute_shown", found)
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str, code: int = 0) -> Outcome:
    done = CliRunner().invoke(main, ["sensitivity", *ARGUMENTS, *arguments])
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "sensitivity" / "sensitivity.json").read_text(encoding="utf-8"))
    return found


def test_study__one_run_for_each_setting_and_factor_and_the_preset_shared(folder: Path, judge: Judge) -> None:
    shown = invoke(*ALL_OF_TWO, "--seeds", "0-1").stdout
    assert "20 runs, 0 done, 20 left" in shown
    assert len(judge.plans) == 2 * 2 * (1 + 2 * 2)
    assert [plan.seed for plan in judge.plans] == [0] * 10 + [1] * 10
    assert {plan.budget.name for plan in judge.plans} == {"quick"}
    changes = {
        (plan.recipe.student.lr, plan.recipe.student_losses["kl"].weight)
        for plan in judge.plans
        if (plan.plugin, plan.seed) == ("noise", 0)
    }
    assert changes == {(5e-3, 1.0), (5e-4, 1.0), (5e-2, 1.0), (5e-3, 0.1), (5e-3, 10.0)}


def test_report__tables_and_files_say_the_same(folder: Path, judge: Judge) -> None:
    shown = invoke(*ALL_OF_TWO, "--seeds", "0-1").stdout
    noise, other = told(folder)["methods"]
    assert (noise["method"], other["method"], noise["seeds"]) == ("noise", "random-generator", [0, 1])
    assert (noise["base"]["mean"], noise["range"]["mean"], noise["most_sensitive"]) == (90.5, 30.0, "student.lr")
    area_of_rate = ((80.5 + 90.5) / 2 + (90.5 + 60.5) / 2) / 200
    assert noise["area"]["mean"] == pytest.approx((area_of_rate + 0.905) / 2)
    assert re.search(rf"noise +soft-labels +2 +90.5 ± 6.4 +30.0 .* {noise['area']['mean']:.3f} ± ", shown)
    assert re.search(r"noise +student.lr +0.005 +80.5 +90.5 +60.5 +30.0 +0.805 +0 of 4", shown)
    (compared,) = told(folder)["comparisons"]
    assert compared["loss"] == {"mean": 0.0, "half_width": 0.0, "n": 2}
    assert "Neither of noise and random-generator is shown to be more robust over 2 seeds" in shown
    rows = list(csv.DictReader((folder / "sensitivity" / "sensitivity.csv").read_text().splitlines()))
    assert len(rows) == 20
    assert {row["run_id"] for row in rows} == {path.name for path in (folder / "runs").iterdir()}
    (row,) = (row for row in rows if (row["method"], row["seed"], row["value"]) == ("noise", "1", "0.05"))
    assert (row["setting"], row["factor"], row["accuracy"], row["failure"]) == ("student.lr", "10.0", "61.0", "")
    drawing = ElementTree.parse(folder / "sensitivity" / "sensitivity.svg").getroot()
    assert "noise (2 seeds)" in [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]


def test_study__again_makes_no_run_and_says_the_same(folder: Path, judge: Judge) -> None:
    invoke(*ONE)
    before = {path.name: path.read_bytes() for path in (folder / "sensitivity").iterdir()}
    assert set(before) == {"sensitivity.json", "sensitivity.csv", "sensitivity.svg"}
    judge.plans.clear()
    assert "3 runs, 3 done, 0 left" in invoke(*ONE).stdout
    assert judge.plans == []
    assert before == {path.name: path.read_bytes() for path in (folder / "sensitivity").iterdir()}


def test_dry_run__counts_and_estimates_and_makes_nothing(folder: Path, judge: Judge) -> None:
    assert "3 runs, 0 done, 3 left; how long they take is not known" in invoke(*ONE, "--dry-run").stdout
    assert (judge.plans, list(folder.iterdir())) == ([], [])
    invoke(*ONE)
    shown = invoke(*ONE, "--seeds", "0-2", "--dry-run").stdout
    assert "9 runs, 3 done, 6 left; about 3.0 minutes of training" in shown
    assert len(judge.plans) == 3


def test_failed_run__is_a_failure_and_is_not_made_again(folder: Path, judge: Judge) -> None:
    judge.diverging = {5e-2}
    invoke(*ONE)
    (noise,) = told(folder)["methods"]
    assert (noise["failure_rate"]["mean"], noise["failures"], noise["range"]["mean"]) == (0.5, 1, 80.0)
    (row,) = (row for row in told(folder)["records"] if row["failure"])
    assert (row["factor"], row["accuracy"], row["failure"]) == (10.0, 10.0, "diverged")
    invoke(*ONE)
    assert len(judge.plans) == 3


def test_run_without_a_record__stops_nothing_and_is_tried_once_a_time(folder: Path, judge: Judge) -> None:
    judge.raising = {5e-4: RunError("the worker is gone")}
    done = invoke(*ONE, code=1)
    assert "no record: the worker is gone" in done.stderr
    assert len(judge.plans) == 3
    assert "noise: seed 0 has runs without a record and enters no figure." in done.stdout
    assert not (folder / "sensitivity" / "sensitivity.svg").exists()
    assert told(folder)["runs_done"] == 2
    judge.raising.clear()
    invoke(*ONE)
    assert [plan.recipe.student.lr for plan in judge.plans[3:]] == [5e-4]
    assert (folder / "sensitivity" / "sensitivity.svg").exists()


def test_signal__stops_and_says_that_the_command_goes_on(folder: Path, judge: Judge) -> None:
    judge.raising = {5e-2: InterruptedRun(15)}
    assert "Stopped; 2 of 3 runs done. The same command goes on." in invoke(*ONE, code=75).stderr
    assert not (folder / "sensitivity").exists()


def test_only__a_setting_that_a_method_has_not(folder: Path, judge: Judge) -> None:
    done = invoke("--plugin", "noise", "--only", "losses.one_hot.weight", code=2)
    assert "'noise' has no loss weight and no learning rate called losses.one_hot.weight." in done.stderr
    assert "It has: student_losses.kl.weight, student.lr." in done.stderr
    assert judge.plans == []


PLUGIN = """
    from pydantic import Field

    from dfkdbench import Component, LossChoice, Method, Options, Recipe, hookimpl

    API = 1

    class Bounded(Options):
        lr: float = Field(0.5, le=1, description="Rate.")

    @hookimpl
    def dfkdbench_losses():
        target = "dfkdbench.parts.losses.one_hot:OneHotLoss"
        return [Component(kind="loss", role="image", name="bounded", target=target, summary="Toy.", options=Bounded)]

    @hookimpl
    def dfkdbench_methods():
        bounded = Recipe(losses={"bounded": LossChoice()})
        return [
            Method(name="bounded", summary="Toy.", recipe=bounded),
            Method(name="deaf", summary="Toy.", recipe=bounded, loop="x:Loop", honours=frozenset()),
        ]
"""


@pytest.fixture
def plugin(make_distribution: Callable[..., str]) -> Iterator[None]:
    make_distribution("dfkdbench-toy", PLUGIN)
    load_registry.cache_clear()
    yield
    load_registry.cache_clear()


def test_refused_value__is_left_out_and_said(folder: Path, judge: Judge, plugin: None) -> None:
    done = invoke("--plugin", "bounded", "--only", "losses.bounded.lr", "--dry-run")
    assert "2 runs, 0 done" in done.stdout
    assert "bounded: losses.bounded.lr=5.0 is left out: losses.bounded.lr: given 5.0" in done.stderr


def test_refused_altogether__names_the_reason(folder: Path, judge: Judge, plugin: None) -> None:
    done = invoke("--plugin", "deaf", "--only", "losses.*", code=2)
    assert "'deaf' has no setting that could be varied here." in done.stderr
    assert "that does not use losses" in done.stderr


def test_study__real_runs_say_what_was_changed(folder: Path) -> None:
    invoke(*ONE, "--budget", "smoke", "--factors", "10")
    results, problems = find_results(folder / "runs")
    assert not problems
    assert sorted((result.status, result.changed_settings) for result in results) == [
        ("finished", ()),
        ("finished", ("student.lr",)),
    ]
    assert told(folder)["runs_done"] == 2

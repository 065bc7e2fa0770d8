"""examples/: small, whole, and with the results that their READMEs say."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import dfkdbench
from dfkdbench.records import read_result
from dfkdbench.registry import load_registry

EXAMPLE = Path(__file__).parents[1] / "examples" / "runner_up"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
PACKAGE = EXAMPLE / "dfkdbench_runner_up"


@pytest.fixture
def installed(
    make_distribution: Callable[..., str],
    site: Path,
) -> Iterator[None]:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((entry, target),) = project["entry-points"]["dfkdbench"].items()
    make_distribution(project["name"], "", project["version"], entry=f"{entry} = {target}")
    shutil.copytree(PACKAGE, site / PACKAGE.name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    load_registry.cache_clear()
    yield
    load_registry.cache_clear()


def count_lines(*files: Path) -> int:
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def test_code__is_short_and_counted_in_the_readme() -> None:
    code = count_lines(*PACKAGE.rglob("*.py"))
    assert code < 80
    assert f"{code} lines of Python and {count_lines(EXAMPLE / 'pyproject.toml')} of `pyproject.toml`" in README


def test_result__is_that_of_the_records() -> None:
    rows = re.findall(r"^\| `(runner_up[^`]*)` \| ([\d. |]+) \| ([\w, ]+) \|$", README, re.MULTILINE)
    assert [row[0] for row in rows] == ["runner_up", "runner_up --loss runner_up=0"]
    for _, figures, ids in rows:
        *seeds, mean = (float(figure) for figure in figures.split("|"))
        records = [read_result(*(EXAMPLE / "records").glob(f"*-{digest}/result.json")) for digest in ids.split(", ")]
        assert [record.seed for record in records] == [0, 1, 2]
        assert [round(record.accuracy_final, 1) for record in records] == seeds
        assert round(sum(record.accuracy_final for record in records) / 3, 2) == mean
        assert {(record.budget, record.status, record.isolation) for record in records} == {
            ("standard", "finished", "landlock abi 7")
        }


@pytest.mark.usefixtures("installed")
def test_records__are_of_this_code(tmp_path: Path) -> None:
    """What the example is today is what its records were made with."""
    from dfkdbench.bench import Request, prepare
    from dfkdbench.cli.console import Console

    stored = [json.loads(file.read_text(encoding="utf-8")) for file in EXAMPLE.glob("records/*/plan.json")]
    assert len(stored) == 6
    for losses in ((), ("runner_up=0",)):
        prepared = prepare(Request("runner_up", "digits", losses=losses, out=tmp_path, device="cpu"), Console())
        plan = prepared.plan(0).model_dump(mode="json")
        same = [old for old in stored if all(old[key] == plan[key] for key in ("recipe", "slots", "losses", "pair"))]
        assert sorted(old["seed"] for old in same) == [0, 1, 2]


@pytest.mark.usefixtures("installed")
def test_run__and_its_loss_on_another_method(tmp_path: Path) -> None:
    settings = {"batch_size": 64, "generator.channels": [8, 8, 8]}
    cell = {"dataset": "digits", "budget": "smoke", "threads": 1, "out": tmp_path / "runs"}
    (own,) = dfkdbench.run(plugin="runner_up", settings=settings, **cell)
    settings["phases.distil.generator_steps"] = 1
    (other,) = dfkdbench.run(
        plugin="random-generator", generator="conv", losses=("runner_up",), settings=settings, **cell
    )
    assert (own.status, other.status) == ("finished", "finished"), (own.error, other.error)
    assert own.league == "input-gradients"


@pytest.mark.usefixtures("installed")
def test_loss__is_minus_the_mutual_information() -> None:
    loss_of = __import__("dfkdbench_runner_up.loss", fromlist=["RunnerUpLoss"]).RunnerUpLoss
    options = __import__("dfkdbench_runner_up").RunnerUpOptions()
    from dfkdbench.seams import Signal, View

    def value(logits: torch.Tensor) -> float:
        return float(loss_of(options, None)(View(torch.zeros(len(logits), 1, 1, 1), Signal(logits), ())))

    far = torch.full((4, 4), -50.0)
    one_runner_up_each = far.clone()
    for image in range(4):
        one_runner_up_each[image, image], one_runner_up_each[image, (image + 1) % 4] = 20.0, 0.0
    assert value(one_runner_up_each) == pytest.approx(-torch.log(torch.tensor(4.0)).item(), abs=1e-4)
    same = far.clone()
    same[:, 0], same[:, 1] = 20.0, 0.0
    assert value(same) == pytest.approx(0.0, abs=1e-4)

"""Which runs several processes can do together, and what the plan says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from dfkdbench.bench import Request, prepare
from dfkdbench.boards.entries import read_entry
from dfkdbench.cli import main
from dfkdbench.cli.console import Console
from dfkdbench.errors import PlanError
from dfkdbench.plan import Plan
from dfkdbench.recipe import StudentUpdateOptions
from dfkdbench.registry import Registry
from dfkdbench.sharing import check_sharing

ENTRIES = sorted(Path(__file__).parents[1].glob("leaderboards/*/entries/*"))
FIELDS = {"plugin": "random-generator", "dataset": "digits", "budget": "smoke", "device": "cpu"}
IMAGE_LOSS = {"generator": "conv", "losses": ("one_hot=1",), "settings": ("phases.distil.generator_steps=1",)}


def plan_of(registry: Registry, **fields: Any) -> Plan:
    return prepare(Request(**{**FIELDS, **IMAGE_LOSS, "processes": 2, **fields}), Console(), registry).plan(0)


def refusal(registry: Registry, **fields: Any) -> str:
    with pytest.raises(PlanError) as caught:
        plan_of(registry, **fields)
    return caught.value.message


def test_plan__says_how_many_and_by_which_statistics(registry: Registry) -> None:
    one, two, three = (plan_of(registry, processes=1), plan_of(registry), plan_of(registry, batch_statistics="process"))
    assert (two.processes, two.batch_statistics) == (2, "synchronised")
    assert (three.processes, three.batch_statistics) == (2, "process")
    assert len({one.run_id, two.run_id, three.run_id, plan_of(registry, processes=4).run_id}) == 4
    assert Plan.model_validate_json(two.model_dump_json()).run_id == two.run_id


def test_plan__of_one_process_is_written_as_before(registry: Registry) -> None:
    assert not {"processes", "batch_statistics"} & plan_of(registry, processes=1).model_dump(mode="json").keys()


@pytest.mark.parametrize("folder", [*ENTRIES[:3], *ENTRIES[-3:]], ids=lambda folder: folder.name)
def test_plan__of_a_committed_record_keeps_its_id(folder: Path) -> None:
    plan = Plan.model_validate_json((folder / "plan.json").read_text())
    assert plan.run_id == folder.name == read_entry(folder).run_id


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"plugin": "scratch", "losses": (), "generator": None, "settings": ()}, "trains on real samples"),
        ({"losses": (), "generator": None, "settings": ()}, "sees labels alone"),
        ({"processes": 3}, "batch_size is 64, which is not divisible by 3"),
        ({"device": "cpu:0"}, "Say --device cpu."),
        ({"isolation": "in-process"}, "--isolation in-process is one process"),
        ({"processes": 1, "batch_statistics": "process"}, "--batch-statistics is for runs of several processes"),
    ],
    ids=["real samples", "labels alone", "batch size", "device", "in process", "statistics of one"],
)
def test_several_processes__are_refused_with_the_reason(registry: Registry, fields: dict[str, Any], words: str) -> None:
    assert words in refusal(registry, **fields)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loop": "toy:Loop"}, "it has a loop of its own"),
        ({"replay_size": 7}, "the number of replayed images is 7, which is not divisible by 2"),
        ({"recipe": {"student_update": StudentUpdateOptions(kind="meta_retain")}}, "student_update.kind=joint"),
    ],
    ids=["loop", "replay", "student update"],
)
def test_several_processes__are_refused_for_what_can_not_be_shared_out(
    registry: Registry, changes: dict[str, Any], words: str
) -> None:
    plan = plan_of(registry)
    if "recipe" in changes:
        changes = {"recipe": plan.recipe.model_copy(update=changes["recipe"])}
    with pytest.raises(PlanError) as caught:
        check_sharing(plan.model_copy(update=changes))
    assert words in caught.value.message


def test_several_processes__take_a_device_each(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfkdbench.bench.choose_device", lambda wanted: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "--processes 2 takes as many CUDA devices, and there are 1." in refusal(registry)


def test_command__is_refused_with_jobs_and_tells_the_sharing_in_a_plan(tmp_path: Path) -> None:
    command = ["run", "--plugin", "random-generator", "--dataset", "digits", "--budget", "smoke", "--device", "cpu"]
    command += ["--generator", "conv", "--loss", "one_hot=1", "--set", "phases.distil.generator_steps=1"]
    command += ["--processes", "2", "--out", str(tmp_path), "--dry-run", "--json"]
    refused = CliRunner().invoke(main, [*command, "--jobs", "2"])
    assert refused.exit_code == 2
    assert "Give one of the two" in refused.output
    (plan,) = json.loads(CliRunner().invoke(main, command).stdout)
    assert (plan["processes"], plan["batch_statistics"]) == (2, "synchronised")

"""Plans of campaigns: the ids that `run` would give, without training a teacher or fetching data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dfkdbench.campaigns.definition import read_campaign
from dfkdbench.campaigns.planning import Place, PlannedCampaign, Planner, in_shard
from dfkdbench.campaigns.works import command_of
from dfkdbench.cli import main
from dfkdbench.errors import ConfigError, UnknownNameError
from dfkdbench.registry import Registry

HEAD = 'name = "trial"\n[resources]\ndevice = "cpu"\n[defaults]\nbudget = "smoke"\ndataset = "digits"\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the suite's that holds neither data nor teachers."""
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def plan(folder: Path, registry: Registry, runs: str, head: str = HEAD) -> PlannedCampaign:
    path = folder / "campaign.toml"
    path.write_text(f"{head}[[runs]]\n{runs}\n", encoding="utf-8")
    campaign = read_campaign(path)
    return Planner(registry, campaign, Place(folder / "runs")).plan(campaign.choices())


def test_ids__are_those_of_the_command(tmp_path: Path, registry: Registry) -> None:
    runs = (
        'plugin = ["noise", "random-generator"]\npair = ["lenet_s:lenet_xs", "resnet_s:resnet_xs"]\n'
        'teachers = [1, 2]\nloss = { "l1" = 0.5 }\nset = { "student.lr" = 0.002 }\nseeds = 1'
    )
    planned = plan(tmp_path, registry, runs)
    assert len(planned.runs) == 8
    for run in planned.runs:
        done = CliRunner().invoke(main, [*command_of(run.request), "--dry-run", "--json"])
        assert done.exit_code == 0, done.output
        (told,) = json.loads(done.stdout)
        assert told["run_id"] == run.plan.run_id


def test_combination_that_cannot_work__is_refused_with_the_reason_and_the_others_stay(
    tmp_path: Path, registry: Registry
) -> None:
    runs = 'plugin = "random-generator"\npair = ["lenet_s:lenet_xs", "resnet_s:resnet_xs"]\nloss = { batch_norm = 1 }'
    planned = plan(tmp_path, registry, f'{runs}\nset = {{ "phases.distil.generator_steps" = 1 }}')
    assert [run.plan.pair for run in planned.runs] == ["resnet_s:resnet_xs"]
    ((title, reason),) = planned.refused.items()
    assert title.startswith("random-generator digits lenet_s:lenet_xs smoke")
    assert "no batch norm" in reason


@pytest.mark.parametrize(
    ("runs", "error", "message"),
    [
        ('plugin = "nois"', UnknownNameError, "nois digits smoke: Unknown method 'nois'. Did you mean 'noise'"),
        ('plugin = "noise"\nreplay = "nothing"', UnknownNameError, "Unknown replay"),
        ('plugin = "noise"\nbudget = "tiny"', UnknownNameError, "Unknown budget"),
        ('plugin = "noise"\nteacher = "nobody"', UnknownNameError, "Unknown teacher"),
        ('plugin = "noise"\nset = { "student.lrr" = 1 }', ConfigError, "student.lrr"),
    ],
)
def test_names_and_keys_that_are_not__end_the_planning(
    tmp_path: Path, registry: Registry, runs: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan(tmp_path, registry, runs)


def test_cell_without_a_teacher__waits_for_it(tmp_path: Path, registry: Registry) -> None:
    planned = plan(tmp_path, registry, 'plugin = "noise"\npair = "lenet_s:lenet_xs"\nteachers = 4')
    (run,) = planned.runs
    assert [teacher.name for teacher in run.missing] == ["digits-lenet_s-s3-smoke"]
    assert planned.missing_teachers == list(run.missing)
    assert not run.is_settled


def test_data_that_are_not_at_hand__block_their_runs_alone(tmp_path: Path, registry: Registry, home: Path) -> None:
    planned = plan(tmp_path, registry, 'plugin = "noise"\ndataset = ["digits", "svhn"]')
    assert [run.plan.input.dataset for run in planned.settled] == ["digits"]
    (blocked,) = planned.blocked
    assert "svhn" in blocked.blocked
    assert planned.missing_teachers == []
    assert not home.exists()


def test_same_run_spelled_twice__counts_once(tmp_path: Path, registry: Registry) -> None:
    planned = plan(tmp_path, registry, 'plugin = "noise"\npair = ["lenet_s:lenet_xs", ""]')
    assert len(planned.runs) == 1


def test_shards__part_the_runs_whatever_else_there_is() -> None:
    ids = [f"noise-digits-s{seed}-{seed * 7919:012x}" for seed in range(200)]
    parts = [{key for key in ids if in_shard(key, (index, 4))} for index in (1, 2, 3, 4)]
    assert sorted(key for part in parts for key in part) == sorted(ids)
    assert min(map(len, parts)) > 25
    assert {key for key in ids[:50] if in_shard(key, (2, 4))} == parts[1] & set(ids[:50])

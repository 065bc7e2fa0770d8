"""`dfkdbench sweep`: from a file to records, and what it says on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dfkdbench.cli import main
from dfkdbench.records import find_results

CAMPAIGN = """
name = "trial"
[resources]
device = "cpu"
[executor]
workers = 2
[defaults]
dataset = "digits"
budget = "smoke"
[[runs]]
plugin = ["noise", "scratch"]
"""


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path / "home"))
    path = tmp_path / "campaign.toml"
    path.write_text(CAMPAIGN, encoding="utf-8")
    return path


def invoke(campaign: Path, *arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["sweep", str(campaign), f"--out={campaign.parent / 'runs'}", *arguments])
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def start(campaign: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "dfkdbench", "sweep", str(campaign), f"--out={campaign.parent / 'runs'}"]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_dry_run__tells_what_there_is_and_makes_nothing(campaign: Path) -> None:
    shown = invoke(campaign, "--dry-run", "--budget=quick", "--seeds=0-2").stdout
    assert "6 runs: 0 done, 0 unfinished, 6 new" in shown
    assert "device time of 6 runs: unknown" in shown
    assert "MB of students" in shown
    assert not (campaign.parent / "runs").exists()
    told = json.loads(invoke(campaign, "--dry-run", "--json").stdout)
    assert [row["state"] for row in told["runs"]] == ["new", "new"]
    assert told["refused"] == {}


def test_runs__are_made_once_with_the_students_of_run(campaign: Path) -> None:
    shown = invoke(campaign)
    assert "2 of 2 runs have a record, 0 given up" in shown.stdout
    assert "1 of 2" in shown.stderr
    runs = campaign.parent / "runs"
    made = {result.plugin: result for result in find_results(runs)[0]}
    assert "2 done" in invoke(campaign, "--dry-run").stdout
    invoke(campaign)
    assert {result.plugin: result.finished_at for result in find_results(runs)[0]} == {
        plugin: result.finished_at for plugin, result in made.items()
    }
    flags = ["--dataset=digits", "--budget=smoke", "--device=cpu", "--threads=1", f"--out={campaign.parent / 'single'}"]
    assert CliRunner().invoke(main, ["run", "--plugin=noise", *flags]).exit_code == 0
    ((alone,), _) = find_results(campaign.parent / "single")
    assert (alone.run_id, alone.student_sha256) == (made["noise"].run_id, made["noise"].student_sha256)


def test_missing_teacher__is_trained_first_and_a_shard_asks_for_it(campaign: Path) -> None:
    campaign.write_text(CAMPAIGN + "teachers = 4\n", encoding="utf-8")
    shown = invoke(campaign, "--dry-run").stdout
    assert "teacher digits-lenet_s-s3-smoke is trained first; 2 runs wait for it" in shown
    refused = invoke(campaign, "--shard=1/2", code=2).output
    assert "these teachers have to be there first: digits-lenet_s-s3-smoke" in refused
    shown = invoke(campaign)
    assert "teacher digits-lenet_s-s3-smoke:" in shown.stderr
    assert "2 of 2 runs have a record" in shown.stdout


def test_shards__make_every_run_between_them(campaign: Path) -> None:
    rows = []
    for index in (1, 2, 3):
        told = json.loads(invoke(campaign, "--dry-run", "--json", f"--shard={index}/3").stdout)
        rows += [row["run_id"] for row in told["runs"]]
    assert sorted(rows) == sorted(
        row["run_id"] for row in json.loads(invoke(campaign, "--dry-run", "--json").stdout)["runs"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shard=3/2",), "--shard takes I/N"),
        (("--shard=x",), "--shard takes I/N"),
        (("--executor=loca",), "Did you mean 'local'"),
        (("--executor-set=workers",), "--executor-set takes KEY=VALUE"),
        (("--executor-set=worker=2",), "Did you mean 'workers'"),
        (("--device=cudda",), "--device 'cudda' can't be used"),
        (("--budget=smok",), "Unknown budget 'smok'. Did you mean 'smoke'"),
        (("--seeds=x",), "distinct seeds"),
    ],
)
def test_mistakes__are_told_before_anything_runs(campaign: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in invoke(campaign, *arguments, code=2).output
    assert find_results(campaign.parent)[0] == []


def test_unknown_method__ends_with_the_nearest(campaign: Path) -> None:
    campaign.write_text(CAMPAIGN.replace("noise", "nois"), encoding="utf-8")
    assert "Unknown method 'nois'. Did you mean 'noise'" in invoke(campaign, code=2).output


def test_data_not_at_hand__the_others_run_and_the_status_says_so(campaign: Path) -> None:
    campaign.write_text(CAMPAIGN + '[[runs]]\nplugin = "noise"\ndataset = "svhn"\n', encoding="utf-8")
    empty = campaign.parent / "empty"
    empty.mkdir()
    done = invoke(campaign, f"--data-root={empty}", code=1)
    assert "2 of 3 runs have a record" in done.stdout
    assert "can't be made here" in done.output


@pytest.mark.slow
def test_driver_killed_and_two_at_once__every_run_ends_once(campaign: Path) -> None:
    runs = campaign.parent / "runs"
    chosen = ("--budget=quick", "--seeds=0-1")
    first = start(campaign, *chosen)
    _wait_for(lambda: bool(list(runs.glob("*/snapshots/*.safetensors"))))
    first.kill()
    first.communicate()
    both = [start(campaign, *chosen), start(campaign, *chosen)]
    told = [driver.communicate(timeout=400)[0] for driver in both]
    assert [driver.returncode for driver in both] == [0, 0], told
    results, problems = find_results(runs)
    assert sorted((result.plugin, result.seed, result.status) for result in results) == [
        (plugin, seed, "finished") for plugin in ("noise", "scratch") for seed in (0, 1)
    ]
    assert not problems
    assert not (runs / ".sweep" / "attempts.jsonl").exists()


def test_signal__stops_with_a_checkpoint_and_status_75(campaign: Path) -> None:
    runs = campaign.parent / "runs"
    driver = start(campaign, "--budget=standard")
    _wait_for(lambda: bool(list(runs.glob("*/snapshots/*.safetensors"))))
    os.kill(driver.pid, signal.SIGTERM)
    told, _ = driver.communicate(timeout=120)
    assert driver.returncode == 75, told
    assert "left a checkpoint, and the same command goes on" in told
    assert list(runs.glob("*/checkpoint/*.safetensors"))


def _wait_for(condition, seconds: float = 120.0) -> None:  # type: ignore[no-untyped-def]
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)

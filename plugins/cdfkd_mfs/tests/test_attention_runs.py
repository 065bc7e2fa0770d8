"""Whole runs with attention over the heads: sealed worker, record, league, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dfkdbench.cli import main

SMALL = (
    *("--dataset", "digits", "--teachers", "3", "--budget", "smoke", "--threads", "1"),
    *("--set", "phases.distil.rounds=3"),
)
RUN = ("--plugin", "cdfkd_mfs", "--pair", "resnet_s:mh3_resnet_xs", *SMALL)


def run(out: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "dfkdbench", "run", *arguments, "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    return dict(result)


@pytest.fixture(scope="module")
def pair_of_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The folder, the record with the mean of the heads, and the record with attention."""
    out = tmp_path_factory.mktemp("runs")
    attention = ("--aggregator", "attention", "--set", "aggregator.samples=200")
    return out, run(out, *RUN), run(out, *RUN, *attention)


def test_attention__the_student_is_that_of_the_mean_to_the_bit(
    pair_of_runs: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    """So the worker saw no real sample, and the fit changed nothing of what was distilled."""
    _, mean, attention = pair_of_runs
    assert attention["student_sha256"] == mean["student_sha256"]
    assert attention["isolation"] == mean["isolation"]
    assert [entry["accuracy"] for entry in attention["evaluations"]] == [
        entry["accuracy"] for entry in mean["evaluations"]
    ]


def test_attention__the_record_keeps_leagues_apart_and_both_figures(
    pair_of_runs: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    _, mean, attention = pair_of_runs
    assert attention["run_id"] != mean["run_id"]
    assert (mean["league"], attention["league"]) == ("batch-norm", "batch-norm+real-samples")
    assert (mean["readout"], attention["readout"]) == (None, "attention")
    assert (mean["readout_samples"], attention["readout_samples"]) == (0, 200)
    assert mean["accuracy_final"] == mean["accuracy_ensemble"] == attention["accuracy_ensemble"]
    assert attention["accuracy_final"] <= attention["accuracy_oracle"]
    for result in (mean, attention):
        assert len(result["head_accuracies"]) == 3
        assert result["accuracy_mean_head"] == pytest.approx(sum(result["head_accuracies"]) / 3)


def test_attention__the_worker_is_told_no_data_path_and_the_judge_keeps_the_fit(
    pair_of_runs: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    out, mean, attention = pair_of_runs
    folder = out / attention["run_id"]
    launch = json.loads((folder / "launch.json").read_text())
    assert launch["data_root"] is None
    assert (folder / "readout.safetensors").exists()
    assert not (out / mean["run_id"] / "readout.safetensors").exists()


def test_attention__a_finished_run_is_read_and_a_lost_record_comes_out_the_same(
    pair_of_runs: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    out, _, attention = pair_of_runs
    arguments = (*RUN, "--aggregator", "attention", "--set", "aggregator.samples=200")
    record = out / attention["run_id"] / "result.json"
    before = record.stat().st_mtime_ns
    assert run(out, *arguments) == attention
    assert record.stat().st_mtime_ns == before
    record.unlink()
    again = run(out, *arguments)
    same = ("student_sha256", "readout_sha256", "accuracy_final", "head_accuracies", "run_id")
    assert {key: again[key] for key in same} == {key: attention[key] for key in same}


def test_results__show_the_league(pair_of_runs: tuple[Path, dict[str, Any], dict[str, Any]]) -> None:
    out, _, attention = pair_of_runs
    outcome = CliRunner().invoke(main, ["results", "--runs", str(out)])
    assert outcome.exit_code == 0
    assert "batch-norm+real-samples" in outcome.output
    rows = json.loads(CliRunner().invoke(main, ["results", "--runs", str(out), "--format", "json"]).stdout)
    assert {row["readout"] for row in rows} == {None, "attention"}
    assert [row["head_accuracies"] for row in rows] == [attention["head_accuracies"]] * 2


def test_describe_and_list__say_that_it_uses_real_samples() -> None:
    described = CliRunner().invoke(main, ["describe", "attention"])
    assert described.exit_code == 0
    for text in ("real_samples", "readout", "aggregator.epochs", "aggregator.optimizer.lr", "ICME 2021"):
        assert text in described.output
    (row,) = [
        row
        for row in json.loads(CliRunner().invoke(main, ["list", "aggregators", "--json"]).stdout)
        if row["name"] == "attention"
    ]
    assert "real_samples" in row["needs"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ("--plugin", "noise", "--pair", "resnet_s:resnet_xs", *SMALL),
            "The aggregator 'attention' needs the student's heads, which the model 'resnet_xs' does not give.",
        ),
        (
            ("--plugin", "noise", "--pair", "resnet_s:mh3_resnet_xs", *SMALL, "--teachers", "1"),
            "The aggregator 'attention' needs several teachers; there is 1. Say --teachers 3.",
        ),
        ((*RUN, "--set", "aggregator.samples=2000"), "fitted on 2,000 labelled training images, and the data set has"),
        ((*RUN, "--set", "aggregator.epochs=0"), "aggregator.epochs"),
        ((*RUN, "--set", "aggregator.epoch=3"), "Unknown key 'aggregator.epoch'"),
    ],
    ids=["no-heads", "one-teacher", "too-many-samples", "no-epoch", "unknown-key"],
)
def test_attention__refused_before_anything_runs(arguments: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    outcome = CliRunner().invoke(main, ["run", *arguments, "--aggregator", "attention", "--out", str(out)])
    assert outcome.exit_code == 2, outcome.output
    assert reason in outcome.stderr
    assert not out.exists()


def test_attention__on_a_method_that_pairs_no_heads(tmp_path: Path) -> None:
    """Two teachers and three heads: only losses pair them."""
    arguments = ("--plugin", "noise", "--pair", "resnet_s:mh3_resnet_xs", *SMALL, "--teachers", "2")
    result = run(tmp_path, *arguments, "--aggregator", "attention")
    assert (result["status"], result["readout"], result["readout_samples"]) == ("finished", "attention", 13)

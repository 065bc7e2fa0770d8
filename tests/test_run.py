"""Whole runs from the command line: records, sealed worker, stops, kills, bad luck."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from dfkdbench import load_results
from dfkdbench.cli import main
from dfkdbench.files import sha256_of
from dfkdbench.sandbox import abi_version

QUICK = ("--dataset", "digits", "--budget", "smoke", "--set", "batch_size=32", "--threads", "1")
LONG = ("--dataset", "digits", "--budget", "quick", "--set", "batch_size=32", "--threads", "1")
IMAGE_FIGURES = ("synthetic_class_balance", "synthetic_diversity", "synthetic_frechet")
PROMISED = {
    "run_id",
    "plugin",
    "dataset",
    "pair",
    "seed",
    "status",
    "accuracy_final",
    "accuracy_oracle",
    "accuracy_mean",
    "accuracy_variance",
    "teacher_accuracy",
    "student_sha256",
    "teacher_sha256",
    "student_samples",
    "teacher_queries",
    "train_seconds",
    "peak_memory_mb",
    "replay_bytes",
    "isolation",
    "class_accuracies",
    "synthetic_images",
    "synthetic_sha256",
    *IMAGE_FIGURES,
}


def start(*arguments: str, out: Path, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "dfkdbench", "run", *arguments, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/", **options)


def run(*arguments: str, out: Path, expect: int = 0) -> tuple[str, str]:
    process = start(*arguments, out=out)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == expect, stderr
    return stdout, stderr


def only_folder(out: Path) -> Path:
    (folder,) = out.iterdir()
    return folder


def worker_of(judge: subprocess.Popen, timeout: float = 60) -> int:
    """The worker's process id, once it is there."""
    children = Path(f"/proc/{judge.pid}/task/{judge.pid}/children")
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and judge.poll() is None:
        for pid in children.read_text().split():
            with contextlib.suppress(OSError):
                if b"dfkdbench.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        time.sleep(0.02)
    raise AssertionError(f"no worker: {judge.communicate()[1]}")


def wait_for(condition, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[dict]]:
    out = tmp_path_factory.mktemp("runs")
    stdout, _ = run("--plugin", "noise", *QUICK, "--seeds", "0-1", "--json", out=out)
    return out, json.loads(stdout)


def test_json__one_object_a_seed_with_every_promised_field(finished):
    _, results = finished
    assert [result["seed"] for result in results] == [0, 1]
    assert all(result.keys() >= PROMISED for result in results)
    assert {result["status"] for result in results} == {"finished"}
    assert all(0 <= result["accuracy_final"] <= result["accuracy_oracle"] <= 100 for result in results)
    assert results[0]["student_sha256"] != results[1]["student_sha256"]
    assert results[0]["student_samples"] == results[0]["teacher_queries"] == 2560
    assert results[0]["capture"] == {"state": "eager", "why": "there is no CUDA device", "together": 1}


def test_figures__of_the_student_and_of_the_images(finished):
    _, results = finished
    for result in results:
        last, classes = result["evaluations"][-1], result["class_accuracies"]
        assert last["worst_class_accuracy"] == min(classes) == classes[last["worst_class"]]
        assert 0 <= last["agreement"] <= 100
        assert result["synthetic_images"] == 512
        assert 0 < result["synthetic_class_balance"] < 1
        assert result["synthetic_diversity"] > 0
        assert result["synthetic_frechet"] > 0
    assert results[0]["synthetic_sha256"] != results[1]["synthetic_sha256"]


def test_isolation__the_record_says_what_was_in_force(finished):
    _, results = finished
    abi = abi_version()
    expected = f"landlock abi {min(abi, 7)}" if abi else "audit hook"
    assert {result["isolation"] for result in results} == {expected}


def test_run_folder__holds_what_the_design_promises(finished):
    out, results = finished
    folder = out / results[0]["run_id"]
    names = {path.name for path in folder.iterdir()}
    assert names >= {"plan.json", "env.json", "metrics.jsonl", "evaluations.jsonl", "snapshots", "checkpoint"}
    assert names >= {"samples.png", "student.safetensors", "result.json"}
    assert (folder / "samples.png").read_bytes().startswith(b"\x89PNG")
    assert sha256_of((folder / "synthetic.safetensors").read_bytes()) == results[0]["synthetic_sha256"]
    assert not (folder / "snapshots" / "samples.safetensors").exists()
    assert not list((folder / "checkpoint").iterdir())


def test_plan__the_worker_is_told_no_accuracy_and_no_data_path(finished):
    out, results = finished
    folder = out / results[0]["run_id"]
    told = (folder / "plan.json").read_text() + (folder / "launch.json").read_text()
    assert "accuracy" not in told
    assert json.loads((folder / "launch.json").read_text())["data_root"] is None


def test_finished__is_read_and_not_run_again_unless_asked(finished):
    out, results = finished
    record = out / results[0]["run_id"] / "result.json"
    before = record.stat().st_mtime_ns
    stdout, _ = run("--plugin", "noise", *QUICK, "--seeds", "0", "--json", out=out)
    assert record.stat().st_mtime_ns == before
    assert json.loads(stdout)[0] == results[0]
    stdout, _ = run("--plugin", "noise", *QUICK, "--seeds", "0", "--rerun", "--json", out=out)
    assert record.stat().st_mtime_ns > before
    again = json.loads(stdout)[0]
    assert again["student_sha256"] == results[0]["student_sha256"]
    assert again["synthetic_sha256"] == results[0]["synthetic_sha256"]
    assert [again[name] for name in IMAGE_FIGURES] == pytest.approx([results[0][name] for name in IMAGE_FIGURES])


def test_rerun__starts_over_with_the_threads_that_are_asked_for_now(tmp_path):
    run("--plugin", "noise", *QUICK, out=tmp_path)
    run("--plugin", "noise", *QUICK, "--threads", "2", "--rerun", out=tmp_path)
    assert json.loads((only_folder(tmp_path) / "launch.json").read_text())["threads"] == 2


def test_load_results__a_row_a_run(finished):
    out, results = finished
    frame = load_results(out)
    assert sorted(frame["student_sha256"]) == sorted(result["student_sha256"] for result in results)


def test_dry_run__writes_nothing(tmp_path):
    stdout, _ = run("--plugin", "noise", *QUICK, "--dry-run", out=tmp_path / "runs")
    assert "would run noise-digits-" in stdout
    assert "student.lr" in stdout
    assert not (tmp_path / "runs").exists()


def test_several_methods__finished_runs_are_read_and_the_others_made(finished):
    out, results = finished
    stdout, _ = run("--plugin", "noise", "--plugin", "random-generator", *QUICK, "--json", out=out)
    found = json.loads(stdout)
    assert [result["plugin"] for result in found] == ["noise", "random-generator"]
    assert found[0]["student_sha256"] == results[0]["student_sha256"]


def test_several_methods__one_that_is_refused_is_told_and_does_not_stop_the_others(tmp_path):
    methods = ("--plugin", "noise", "--plugin", "real-data")
    stdout, stderr = run(*methods, "--loss", "cross_entropy=1", *QUICK, "--json", out=tmp_path, expect=1)
    assert "noise is left out: The loss 'cross_entropy' needs labelled images" in stderr
    assert [result["plugin"] for result in json.loads(stdout)] == ["real-data"]


def test_control__real_data_says_that_it_is_not_sealed_and_not_data_free(tmp_path):
    stdout, _ = run("--plugin", "real-data", *QUICK, "--json", out=tmp_path)
    (result,) = json.loads(stdout)
    assert result["isolation"] == "none: control on real data"
    assert "real-samples" in result["league"]
    assert result["synthetic_images"] == 0
    assert [result[name] for name in ("synthetic_sha256", *IMAGE_FIGURES)] == [None] * 4
    assert not (tmp_path / result["run_id"] / "synthetic.safetensors").exists()


def test_stop__sigterm_leaves_a_checkpoint_and_exits_75(tmp_path):
    judge = start("--plugin", "noise", *LONG, out=tmp_path)
    worker_of(judge)
    wait_for(lambda: (only_folder(tmp_path) / "scratch" / "reports.jsonl").stat().st_size > 0)
    judge.send_signal(signal.SIGTERM)
    _, stderr = judge.communicate(timeout=60)
    assert judge.returncode == 75, stderr
    assert "resumes" in stderr
    assert len(list((only_folder(tmp_path) / "checkpoint").iterdir())) == 1
    assert not (only_folder(tmp_path) / "result.json").exists()


def test_stop__ctrl_c_exits_130_and_keeps_finished_seeds(tmp_path):
    judge = start("--plugin", "noise", *LONG, out=tmp_path)
    worker_of(judge)
    wait_for(lambda: (only_folder(tmp_path) / "scratch" / "reports.jsonl").stat().st_size > 0)
    judge.send_signal(signal.SIGINT)
    _, stderr = judge.communicate(timeout=60)
    assert judge.returncode == 130, stderr
    assert "Traceback" not in stderr


def test_lock__a_second_run_of_the_same_id_is_refused(tmp_path):
    first = start("--plugin", "noise", *LONG, out=tmp_path)
    worker_of(first)
    _, stderr = run("--plugin", "noise", *LONG, out=tmp_path, expect=3)
    assert "worked on by another process" in stderr
    first.terminate()
    first.communicate(timeout=60)


def test_nan__is_a_record_with_a_status_and_not_an_accident(tmp_path):
    stdout, _ = run("--plugin", "noise", *QUICK, "--set", "student.kind=sgd", "--set", "student.lr=1e30", "--json",
                    out=tmp_path, expect=1)  # fmt: skip
    (result,) = json.loads(stdout)
    assert result["status"] == "diverged"
    assert result["accuracy_final"] is None
    assert (tmp_path / result["run_id"] / "result.json").exists()


def test_checkpoint__a_tampered_one_is_refused_with_the_way_out(tmp_path):
    judge = start("--plugin", "noise", *LONG, out=tmp_path)
    worker_of(judge)
    wait_for(lambda: (only_folder(tmp_path) / "scratch" / "reports.jsonl").stat().st_size > 0)
    judge.send_signal(signal.SIGTERM)
    judge.communicate(timeout=60)
    (checkpoint,) = (only_folder(tmp_path) / "checkpoint").iterdir()
    data = bytearray(checkpoint.read_bytes())
    data[-1] ^= 1
    checkpoint.write_bytes(data)
    _, stderr = run("--plugin", "noise", *LONG, out=tmp_path, expect=2)
    assert "changed or damaged" in stderr
    assert "--rerun" in stderr
    assert not (only_folder(tmp_path) / "result.json").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--plugin", "nois", "--dataset", "digits"), ("Unknown method 'nois'", "'noise'", "dfkdbench list methods")),
        (("--plugin", "noise", "--dataset", "digit"), ("Unknown dataset", "'digits'", "dfkdbench list datasets")),
        (
            ("--plugin", "noise", "--dataset", "digits", "--pair", "lenet_s"),
            ("--pair takes TEACHER:STUDENT", "'lenet_s:lenet_xs'"),
        ),
        (
            ("--plugin", "noise", "--dataset", "digits", "--pair", "lenet_s:lenet_x"),
            ("Unknown model 'lenet_x'", "'lenet_xs'", "dfkdbench list models"),
        ),
        (("--plugin", "noise", *QUICK, "--set", "batchsize=3"), ("Unknown key 'batchsize'", "'batch_size'")),
        (("--plugin", "noise", *QUICK, "--set", "batch_size=two"), ("batch_size", '"two"', "integer")),
        (("--plugin", "noise", *QUICK, "--set", "student.lr=true"), ("student.lr", "true", "number")),
        (("--plugin", "noise", *QUICK, "--seeds", "2-x"), ("--seeds takes", "2-x")),
        (("--plugin", "noise", "--dataset", "digits", "--budget", "quik"), ("Unknown budget 'quik'", "'quick'")),
        (("--plugin", "noise", "--dataset", "digits", "--budget", "paper"), ("published number of steps", "smoke")),
        (("--plugin", "noise", *QUICK, "--loss", "batch_norm"), ("no batch norm", "lenet_s", "--loss batch_norm=0")),
        (("--plugin", "noise", *QUICK, "--device", "tpu"), ("--device 'tpu'", "auto, cpu or cuda")),
        (
            ("--plugin", "noise", "--dataset", "mnist", "--budget", "smoke", "--data-root", "/nonexistent"),
            ("/nonexistent", "--data-root"),
        ),
        (("--plugin", "noise", *QUICK, "--teacher", "digits-lenet_s-s9"), ("Unknown teacher", "teacher list")),
        (("--plugin", "noise", *QUICK, "--teachers", "3", "--aggregator", "first"), ("'first' listens to one", "mean")),
    ],
)
def test_bad_input__one_clear_error_and_no_traceback(arguments, expected, tmp_path):
    outcome = CliRunner().invoke(main, ["run", *arguments, "--out", str(tmp_path / "runs")])
    assert outcome.exit_code == 2, outcome.output
    for text in expected:
        assert text in outcome.stderr
    assert isinstance(outcome.exception, SystemExit)
    assert not (tmp_path / "runs").exists()


def test_full_disk__says_so_writes_no_record_and_the_run_goes_on_once_there_is_room(small_disk):
    _, stderr = run("--plugin", "noise", *QUICK, "--checkpoint-seconds", "0", out=small_disk, expect=1)
    assert "disk" in stderr
    assert "Traceback" not in stderr
    assert not (only_folder(small_disk) / "result.json").exists()
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    stdout, _ = run("--plugin", "noise", *QUICK, "--json", out=small_disk)
    assert json.loads(stdout)[0]["status"] == "finished"


@pytest.mark.parametrize("plugin", ["noise", "random-generator"])
def test_in_process__for_debugging_gives_the_same_student_and_says_so(plugin, tmp_path):
    """Teacher and all in one process; sealed, the teachers of these two answer from a process of their own."""
    sealed, _ = run("--plugin", plugin, *QUICK, "--json", out=tmp_path / "sealed")
    assert (only_folder(tmp_path / "sealed") / "teacher.json").exists()
    here, _ = run("--plugin", plugin, *QUICK, "--isolation", "in-process", "--json", out=tmp_path / "here")
    (first,), (second,) = json.loads(sealed), json.loads(here)
    assert second["isolation"] == "none: in process"
    assert second["student_sha256"] == first["student_sha256"]

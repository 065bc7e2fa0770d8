"""Ray, for real: a cluster on this machine, workers and drivers that are killed. Runs are small ones on digits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfkdbench.errors import RunError
from dfkdbench.executors import cluster
from dfkdbench.executors.cluster import deliver, pack, store
from dfkdbench.executors.jobs import KEPT, Ending, Job, Resources
from dfkdbench.records import Result, find_results

ONE = Resources(threads=1, memory_gb=0.5)
CAMPAIGN = """
name = "trial"
[resources]
device = "cpu"
memory_gb = 0.5
[defaults]
dataset = "digits"
budget = "standard"
[[runs]]
plugin = ["noise", "scratch"]
seeds = "0-1"
"""


def test_files_of_a_run__come_back_with_the_record_last_and_stay_in_its_folder(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    (there / "snapshots").mkdir(parents=True)
    (there / "snapshots" / "0000.safetensors").write_bytes(b"weights")
    assert pack(there) == {}
    (there / "result.json").write_text("{}", encoding="utf-8")
    files = pack(there)
    assert set(files) == {"snapshots/0000.safetensors", "result.json"}
    store(files, here)
    assert (here / "snapshots" / "0000.safetensors").read_bytes() == b"weights"
    store({"result.json": b"another"}, here)
    assert (here / "result.json").read_text(encoding="utf-8") == "{}"
    with pytest.raises(RunError, match="outside its run"):
        store({"../escaped": b"", "result.json": b"{}"}, tmp_path / "third")


@pytest.mark.parametrize("shared", [True, False])
def test_delivery__brings_files_only_where_the_driver_does_not_see_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    job = Job("a", ("run",), ONE, tmp_path / "log")

    def make(job: Job) -> Ending:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "result.json").write_text("{}", encoding="utf-8")
        return Ending(job.key, 0, 1.0)

    monkeypatch.setattr(cluster, "run_job", make)
    (tmp_path / KEPT).mkdir()
    (tmp_path / KEPT / "token").write_text("drivers", encoding="utf-8")
    delivery = deliver(job, str(tmp_path), "drivers" if shared else "another")
    assert set(delivery.files) == (set() if shared else {"result.json"})


@pytest.fixture
def cluster_process() -> Iterator[subprocess.Popen[str]]:
    """A cluster of two machines, both here: a head without room for runs, and a node with two cores.

    Its address is in `ADDRESS`; it goes away when its standard input is closed. It begins as in the background of a
    script, where shells have SIGINT ignored.
    """
    pytest.importorskip("ray")
    code = """
        import signal, sys
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from ray.cluster_utils import Cluster
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        cluster.add_node(num_cpus=2)
        print("ADDRESS", cluster.address, flush=True)
        sys.stdin.read()
        cluster.shutdown()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},
    )
    yield process
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait(60)


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return next(line.split()[1] for line in process.stdout if line.startswith("ADDRESS"))


def sweep(folder: Path, runs: str, *options: str) -> subprocess.Popen[str]:
    (folder / "campaign.toml").write_text(CAMPAIGN, encoding="utf-8")
    command = ["sweep", str(folder / "campaign.toml"), f"--out={folder / runs}", *options]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "dfkdbench", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},
    )


def workers_of(folder: Path) -> list[int]:
    """Ids of the cluster's processes that watch a command of this runs folder now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "dfkdbench.executors.child" in words and f"--out={folder}" in words:
            found.append(int(words[words.index("dfkdbench.executors.child") + 1]))
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)


def records_of(folder: Path) -> dict[str, Result]:
    return {result.run_id: result for result in find_results(folder)[0]} if folder.is_dir() else {}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_workers_and_driver_killed__every_run_ends_once_with_the_numbers_of_this_machine(
    tmp_path: Path, cluster_process: subprocess.Popen[str]
) -> None:
    chosen = ("--executor=ray", f"--executor-set=address={address_of(cluster_process)}")
    runs = tmp_path / "ray"
    first = sweep(tmp_path, "ray", *chosen)
    wait_for(lambda: bool(workers_of(runs)) and bool(list(runs.glob("*/snapshots/*.safetensors"))))
    victims = workers_of(runs)
    os.kill(victims[0], signal.SIGKILL)
    attempts = runs / ".sweep" / "attempts.jsonl"
    wait_for(lambda: attempts.exists() and bool(records_of(runs)), 300)
    first.kill()
    first.communicate()
    before = records_of(runs)
    wait_for(lambda: not workers_of(runs))
    second = sweep(tmp_path, "ray", *chosen)
    told, _ = second.communicate(timeout=400)
    assert second.returncode == 0, told
    assert "4 of 4 runs have a record, 0 given up" in told
    after = records_of(runs)
    assert len(after) == 4
    assert {key: result.finished_at for key, result in after.items() if key in before} == {
        key: result.finished_at for key, result in before.items()
    }
    assert "the cluster's worker died" in attempts.read_text(encoding="utf-8")
    local = sweep(tmp_path, "local")
    told, _ = local.communicate(timeout=400)
    assert local.returncode == 0, told
    here = records_of(tmp_path / "local")
    assert {key: (result.student_sha256, result.accuracy_final) for key, result in here.items()} == {
        key: (result.student_sha256, result.accuracy_final) for key, result in after.items()
    }


@pytest.mark.slow
def test_stop__interrupts_the_cluster_and_leaves_checkpoints(
    tmp_path: Path, cluster_process: subprocess.Popen[str]
) -> None:
    chosen = (
        "--executor=ray",
        f"--executor-set=address={address_of(cluster_process)}",
        "--budget=standard",
        "--seeds=0",
    )
    runs = tmp_path / "ray"
    first = sweep(tmp_path, "ray", *chosen)
    wait_for(lambda: bool(list(runs.glob("*/snapshots/*.safetensors"))))
    first.send_signal(signal.SIGTERM)
    told, _ = first.communicate(timeout=120)
    assert first.returncode == 75, told
    assert not workers_of(runs)
    assert list(runs.glob("*/checkpoint/*.safetensors"))


@pytest.mark.slow
def test_cluster_that_goes_away__is_said_and_nothing_is_lost(
    tmp_path: Path, cluster_process: subprocess.Popen[str]
) -> None:
    chosen = ("--executor=ray", f"--executor-set=address={address_of(cluster_process)}")
    runs = tmp_path / "ray"
    driver = sweep(tmp_path, "ray", *chosen)
    wait_for(lambda: bool(workers_of(runs)))
    assert cluster_process.stdin is not None
    cluster_process.stdin.close()
    told, _ = driver.communicate(timeout=300)
    assert driver.returncode not in (0, 75), told
    assert "Traceback" not in told
    wait_for(lambda: not workers_of(runs))


def test_address_of_no_cluster__is_an_error_that_names_it(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    driver = sweep(tmp_path, "ray", "--executor=ray", "--executor-set=address=127.0.0.1:1")
    told, _ = driver.communicate(timeout=300)
    assert driver.returncode == 1, told
    assert "The Ray cluster can't be reached" in told
    assert "Traceback" not in told

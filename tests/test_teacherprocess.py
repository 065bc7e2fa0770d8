"""Runs that may see labels alone: what hostile code in their worker reaches, and how their teachers' process ends."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dfkdbench.assembly import build_network
from dfkdbench.bench import Request, prepare
from dfkdbench.cli.console import Console
from dfkdbench.errors import IntegrityError
from dfkdbench.launch import TeacherLaunch
from dfkdbench.registry import Registry
from dfkdbench.sandbox import abi_version
from dfkdbench.teacherprocess import answers_of
from dfkdbench.weights import dump_weights

COMMON = ("--dataset", "digits", "--set", "batch_size=32", "--threads", "1", "--json")

PLUGIN = """
from dfkdbench.descriptors import Component
from dfkdbench.hookspecs import hookimpl

API = 1

@hookimpl
def dfkdbench_losses():
    needs = frozenset({{"soft_labels"}} | {extra!r})
    return [Component(kind="loss", role="student", name="probe", target="prober.loss:Probe", summary="Looks around.",
                      needs=needs)]
"""
PROBE = """
import gc, hashlib, json, os
from pathlib import Path
import torch
from dfkdbench.seams import Stateless

WEIGHTS, WANTED, FOLDER = {weights!r}, {hashes!r}, Path.cwd().parent

def from_the_garbage_collector():
    tensors = [found.detach() for found in gc.get_objects() if issubclass(type(found), torch.Tensor)]
    return any(hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest() in WANTED for tensor in tensors)

def from_the_file():
    return bool(Path(WEIGHTS).read_bytes())

def from_the_launch():
    return bool(json.loads((FOLDER / "launch.json").read_text())["teacher_weights"])

def from_the_teachers_launch():
    return bool((FOLDER / "teacher.json").read_text())

def from_memory_of_other_processes():
    parent = os.getppid()
    for pid in (parent, *range(os.getpid() - 40, os.getpid())):
        try:
            with open(f"/proc/{{pid}}/mem", "rb"):
                return True
        except OSError:
            pass
    return False

def from_the_graph_of_the_logits(view):
    return view.teacher.logits.grad_fn is not None

class Probe(Stateless):
    def __init__(self, options, setting):
        self.asked = False

    def __call__(self, view):
        if not self.asked:
            self.asked = True
            found = {{}}
            for attempt in (from_the_garbage_collector, from_the_file, from_the_launch, from_the_teachers_launch,
                            from_memory_of_other_processes):
                try:
                    found[attempt.__name__] = attempt()
                except (OSError, ValueError) as error:
                    found[attempt.__name__] = type(error).__name__
            found["from_the_graph_of_the_logits"] = from_the_graph_of_the_logits(view)
            (FOLDER / "snapshots" / "found.json").write_text(json.dumps(found))
        {then}
        return (view.student.logits - view.teacher.logits).abs().mean()
"""


@pytest.fixture
def weights(registry: Registry) -> Path:
    request = Request(plugin="noise", dataset="digits", budget="smoke", device="cpu")
    return prepare(request, Console(), registry).teachers[0].weights


@pytest.fixture
def probe(tmp_path: Path, site: Path, make_distribution: Callable[..., str], weights: Path) -> Callable[..., Any]:
    """Runs noise with a loss that looks around and then does something; gives what it found and the record."""

    def run(extra: frozenset[str] = frozenset(), then: str = "pass") -> tuple[Any, Any]:
        out = tmp_path / "runs"
        make_distribution("prober", PLUGIN.format(extra=set(extra)))
        hashes = {hashlib.sha256(t.numpy().tobytes()).hexdigest() for t in load_file(weights).values()}
        code = PROBE.format(weights=str(weights), hashes=hashes, then=then)
        (site / "prober" / "loss.py").write_text(textwrap.dedent(code))
        command = [sys.executable, "-m", "dfkdbench", "run", "--plugin", "noise", "--budget", "smoke", *COMMON]
        command += ["--loss", "probe=1", "--loss", "kl=0", "--out", str(out)]
        path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=300)
        assert done.stdout, done.stderr
        (record,) = json.loads(done.stdout)
        found = next(iter(out.rglob("found.json")), None)
        return json.loads(found.read_text()) if found else None, record

    return run


def test_labels_only__nothing_of_the_teacher_is_in_the_worker_or_within_its_reach(probe: Callable[..., Any]) -> None:
    if abi_version() == 0:
        pytest.skip("this kernel has no Landlock, or has it switched off")
    found, record = probe()
    assert record["status"] == "finished", record
    assert record["league"] == "soft-labels"
    assert found.pop("from_the_launch") in (False, "PermissionError")  # open to a run that resumes; it names no weights
    assert found == {
        "from_the_garbage_collector": False,
        "from_the_file": "PermissionError",
        "from_the_teachers_launch": "PermissionError",
        "from_memory_of_other_processes": False,
        "from_the_graph_of_the_logits": False,
    }


def test_input_gradients__the_weights_are_in_the_worker_and_can_be_found(probe: Callable[..., Any]) -> None:
    """Whoever declares gradients has the teacher in its process: the proxy stops ordinary code only."""
    found, record = probe(extra=frozenset({"input_gradients"}))
    assert record["status"] == "finished", record
    assert record["league"] == "input-gradients"
    assert found["from_the_garbage_collector"] is True
    assert found["from_the_file"] is True


def test_undeclared__is_a_failed_run_whose_record_names_the_declaration(probe: Callable[..., Any]) -> None:
    _, record = probe(then="view.teacher.features")
    assert record["status"] == "failed"
    assert "signal.features" in record["error"]
    assert "no 'features'; it has: soft_labels" in record["error"]


def test_undeclared_gradient__is_a_failed_run_whose_record_names_the_declaration(probe: Callable[..., Any]) -> None:
    _, record = probe(then="view.teacher.logits.sum().backward()")
    assert record["status"] == "failed"
    assert "no 'input_gradients'; it has: soft_labels" in record["error"]


def test_tampered_weights__are_refused_by_the_teachers_process(tmp_path: Path, registry: Registry) -> None:
    request = Request(plugin="noise", dataset="digits", budget="smoke", device="cpu")
    plan = prepare(request, Console(), registry).plan(0)
    other = tmp_path / "teacher.safetensors"
    other.write_bytes(dump_weights(build_network(plan.teachers[0].model, plan.input)))
    launch = TeacherLaunch(weights=(str(other),), threads=torch.get_num_threads(), isolation="none", policy="")
    with pytest.raises(IntegrityError, match="not the pinned file"):
        answers_of(plan, launch)


def children_of(pid: int) -> dict[str, int]:
    """Modules of this suite that the children of a process run -> process id."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        found |= {word.decode(): int(child) for word in words if word.startswith(b"dfkdbench.")}
    return found


@pytest.fixture
def running(tmp_path: Path) -> Any:
    """A long run of noise that has begun to train: the judge, its children and its folder."""
    command = [sys.executable, "-m", "dfkdbench", "run", "--plugin", "noise", "--budget", "quick", *COMMON]
    judge = subprocess.Popen(
        [*command, "--out", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
    )
    try:
        wait_for(lambda: any(file.stat().st_size for file in tmp_path.glob("*/scratch/reports.jsonl")))
        children = children_of(judge.pid)
        assert set(children) == {"dfkdbench.worker", "dfkdbench.teacherprocess"}
        yield judge, children
    finally:
        judge.kill()
        judge.communicate()


def wait_for(condition: Callable[[], bool], timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_teacher_killed__ends_the_run_without_a_record_and_it_resumes(running: Any) -> None:
    """As when the worker is killed: see tests/test_kills.py for the student that it comes to."""
    judge, children = running
    os.kill(children["dfkdbench.teacherprocess"], signal.SIGKILL)
    stdout, stderr = judge.communicate(timeout=120)
    assert (judge.returncode, stdout) == (1, "")
    assert "were killed. The run resumes with the same command." in stderr
    assert all(gone(pid) for pid in children.values())


@pytest.mark.parametrize("victim", ["judge", "worker"])
def test_no_orphan__whoever_is_killed(running: Any, victim: str) -> None:
    judge, children = running
    os.kill(judge.pid if victim == "judge" else children["dfkdbench.worker"], signal.SIGKILL)
    judge.communicate(timeout=120)
    wait_for(lambda: all(gone(pid) for pid in children.values()))


def test_stop__the_worker_finishes_its_round_with_the_teachers_help(running: Any) -> None:
    judge, children = running
    for pid in (children["dfkdbench.teacherprocess"], judge.pid):  # a batch system signals every process
        os.kill(pid, signal.SIGTERM)
    _, stderr = judge.communicate(timeout=120)
    assert judge.returncode == 75, stderr
    assert all(gone(pid) for pid in children.values())

"""Several seeds in one process: each with the student, the records and the folder of a run of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from dfkdbench.bench import Request, prepare
from dfkdbench.cli import main
from dfkdbench.errors import PlanError
from dfkdbench.files import read_json, write_json
from dfkdbench.launch import Launch
from dfkdbench.lockstep import run_together
from dfkdbench.loop import StandardLoop
from dfkdbench.plan import Plan
from dfkdbench.records import Result, read_result
from dfkdbench.runfolder import RunFolder
from dfkdbench.sandbox import Policy
from dfkdbench.session import (
    EXIT_CHECKPOINTED,
    EXIT_CROWDED,
    EXIT_ENDED_WITH_STATUS,
    EXIT_FINISHED,
    Session,
    run_session,
)
from dfkdbench.sharedprocess import EXIT_ENDED_FOR_ANOTHER, Guest, SharedProcess, check_together
from dfkdbench.workerprocess import end, temporary_folder

SMALL = ("batch_size=8", "phases.distil.rounds=6")
SETTINGS = {"rdskd": (*SMALL, "phases.generator.rounds=4")}
COMMAND = ("--dataset", "digits", "--budget", "smoke", "--set", "batch_size=8", "--threads", "1", "--json")
SAME = {"student_sha256", "accuracy_final", "student_samples", "teacher_queries", "replay_bytes", "status", "seed"}


@pytest.fixture(autouse=True)
def own_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def folders(out: Path, plugin: str, seeds: tuple[int, ...] = (0, 1), **more: Any) -> tuple[list[RunFolder], Launch]:
    """What judges make before a worker starts, and how it is started for the first run."""
    made, launches = opened(out, plugin, seeds, **more)
    return made, launches[0]


def opened(
    out: Path, plugin: str, seeds: tuple[int, ...] = (0, 1), **more: Any
) -> tuple[list[RunFolder], list[Launch]]:
    request = Request(
        plugin=plugin,
        dataset="digits",
        budget="smoke",
        settings=SETTINGS.get(plugin, SMALL),
        device="cpu",
        threads=1,
        out=out,
        **more,
    )
    prepared = prepare(request, lambda _: None)
    made = []
    for plan in map(prepared.plan, seeds):
        made.append(RunFolder(out / plan.run_id))
        made[-1].root.mkdir(parents=True)
        made[-1].create()
        write_json(made[-1].plan, plan.model_dump(mode="json"))
    launches = [prepared.bench(plan_of(folder)).launch(folder, folder.scratch, folder.scratch) for folder in made]
    return made, launches


def together(made: list[RunFolder], launch: Launch) -> int:
    return run_together([folder.root for folder in made], launch)


def alone(folder: RunFolder, launch: Launch) -> int:
    return run_session(folder, plan_of(folder), launch)


def plan_of(folder: RunFolder) -> Plan:
    return Plan.model_validate_json(folder.plan.read_text(encoding="utf-8"))


def told(folder: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.reports.read_text(encoding="utf-8").splitlines()]


def student_of(folder: RunFolder) -> bytes:
    return folder.snapshot(len(plan_of(folder).evaluate_at) - 1).read_bytes()


@pytest.mark.parametrize("plugin", ["rdskd", "zskt"])
def test_together__every_run_hands_out_what_it_hands_out_alone(plugin: str, tmp_path: Path) -> None:
    made, launch = folders(tmp_path / "together", plugin, replay="bank" if plugin == "rdskd" else None)
    apart, _ = folders(tmp_path / "apart", plugin, replay="bank" if plugin == "rdskd" else None)
    assert together(made, launch) == EXIT_FINISHED
    for one, other in zip(made, apart, strict=True):
        assert alone(other, launch) == EXIT_FINISHED
        assert student_of(one) == student_of(other)
        assert one.raw_samples.read_bytes() == other.raw_samples.read_bytes()
        mine, its = told(one)[-1], told(other)[-1]
        assert mine["capture"] == {"state": "eager", "why": "there is no CUDA device", "together": 2}
        for name in ("event", "status", "student_steps", "student_samples", "teacher_queries", "generator_steps"):
            assert mine[name] == its[name]
    assert student_of(made[0]) != student_of(made[1])


def test_together__random_numbers_of_the_framework_are_each_runs_own_and_in_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[int, list[float]] = {}
    run_round = StandardLoop.run_round

    def drawing(self: StandardLoop) -> None:
        drawn.setdefault(id(self), []).append(torch.rand(()).item())
        run_round(self)

    monkeypatch.setattr(StandardLoop, "run_round", drawing)
    made, launch = folders(tmp_path / "together", "dafl")
    with monkeypatch.context() as stopping:
        follow_up = Session.follow_up

        def follow_up_and_die(self: Session) -> None:
            follow_up(self)
            if self.plan.seed == 1:
                raise SystemExit

        stopping.setattr(Session, "follow_up", follow_up_and_die)
        with pytest.raises(SystemExit):
            together(made, launch.model_copy(update={"checkpoint_seconds": 0.0}))
    before = list(drawn.values())
    drawn.clear()
    assert together(made, launch) == EXIT_FINISHED
    both = [first + later for first, later in zip(before, drawn.values(), strict=True)]
    assert [len(numbers) for numbers in before] == [1, 1]
    drawn.clear()
    apart, _ = folders(tmp_path / "apart", "dafl")
    for folder in apart:
        alone(folder, launch)
        (numbers,) = drawn.values()
        assert numbers == both.pop(0)
        drawn.clear()


def diverge(session: Session) -> None:
    with torch.no_grad():
        next(session.assembly.student.parameters()).fill_(float("nan"))


def fail(session: Session) -> None:
    raise ValueError("a part is broken")


@pytest.mark.parametrize(("spoil", "status"), [(diverge, "diverged"), (fail, "failed")])
def test_together__one_that_ends_early_does_not_stop_the_others(
    spoil: Callable[[Session], None], status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, launch = folders(tmp_path / "together", "dafl", (0, 1, 2))
    begin = Session.begin

    def begin_spoilt(self: Session, *given: Any) -> None:
        begin(self, *given)
        if self.plan.seed == 1:
            spoilt_round(self)

    def spoilt_round(session: Session) -> None:
        advance = session.assembly.loop.advance

        def advance_spoilt() -> None:
            advance()
            spoil(session)

        monkeypatch.setattr(session.assembly.loop, "advance", advance_spoilt)

    monkeypatch.setattr(Session, "begin", begin_spoilt)
    assert together(made, launch) == EXIT_ENDED_WITH_STATUS
    assert [told(folder)[-1]["status"] for folder in made] == ["finished", status, "finished"]
    monkeypatch.undo()
    apart, _ = folders(tmp_path / "apart", "dafl", (2,))
    alone(apart[0], launch)
    assert student_of(made[2]) == student_of(apart[0])


def test_together__what_is_too_much_for_all_is_no_runs_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_round(self: StandardLoop) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(StandardLoop, "run_round", run_round)
    made, launch = folders(tmp_path, "dafl")
    assert together(made, launch) == EXIT_CROWDED
    assert [told(folder) for folder in made] == [[], []]


def test_together__resumes_runs_that_are_not_equally_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One was stopped in its second phase, one begins: they go on in one process, and the first ends earlier."""
    made, launch = folders(tmp_path / "together", "rdskd")
    follow_up = Session.follow_up

    def stopping(self: Session) -> None:
        if self.assembly.meter.student_steps > 3:
            self.request_stop()
        follow_up(self)

    monkeypatch.setattr(Session, "follow_up", stopping)
    assert alone(made[0], launch) == EXIT_CHECKPOINTED
    monkeypatch.undo()
    assert together(made, launch) == EXIT_FINISHED
    apart, _ = folders(tmp_path / "apart", "rdskd")
    for one, other in zip(made, apart, strict=True):
        alone(other, launch)
        assert student_of(one) == student_of(other)


def start(*arguments: str, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "dfkdbench", "run", *COMMAND, *arguments, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")


def records(judge: subprocess.Popen[str]) -> list[dict[str, Any]]:
    stdout, stderr = judge.communicate(timeout=300)
    assert judge.returncode == 0, stderr
    return list(json.loads(stdout))


@pytest.fixture(scope="module")
def separate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    out = tmp_path_factory.mktemp("separate")
    return out, records(start("--plugin", "dafl", "--seeds", "0-2", out=out))


def test_command__finished_runs_are_read_and_the_others_done_in_one_sealed_process(
    separate: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    (first,) = records(start("--plugin", "dafl", "--seeds", "0", "--together", out=tmp_path))
    assert first["capture"]["together"] == 1
    results = records(start("--plugin", "dafl", "--seeds", "0-2", "--together", out=tmp_path))
    assert [result["capture"]["together"] for result in results] == [1, 2, 2]
    for mine, its in zip(results, separate[1], strict=True):
        assert {name: mine[name] for name in SAME} == {name: its[name] for name in SAME}
        assert mine["run_id"] == its["run_id"]
        for one, other in zip(mine["evaluations"], its["evaluations"], strict=True):
            assert one | {"seconds": 0} == other | {"seconds": 0}
    roots = [tmp_path / result["run_id"] for result in results]
    policies = [Policy.from_json(read_json(root / "launch.json")["policy"]) for root in roots]
    assert policies[1] == policies[2]
    assert {*RunFolder(roots[1]).writable(), *RunFolder(roots[2]).writable()} < {*policies[1].write}
    assert "in " + str(roots[1] / "worker.log") in (roots[2] / "worker.log").read_text(encoding="utf-8")
    granted = (*policies[1].read, *policies[1].write)
    for root in roots:
        for name in ("evaluations.jsonl", "metrics.jsonl", "result.json"):
            assert not [path for path in granted if (root / name).is_relative_to(path)]
    assert not [path for path in granted if path.is_relative_to(roots[0])]


def worker_of(judge: subprocess.Popen[str]) -> int:
    """The process behind the supervisor."""
    (supervisor,) = children_of(judge.pid)
    (worker,) = children_of(supervisor)
    return worker


def children_of(pid: int) -> list[int]:
    """Of every thread of a process."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
def test_command__killed_and_stopped_it_resumes_to_the_same_students(
    separate: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    arguments = ("--plugin", "dafl", "--seeds", "0-2", "--together", "--checkpoint-seconds", "0.3")

    def steps() -> list[int]:
        """That of every run's newest checkpoint, the one it resumes from."""
        newest = {path.parent: path.name for path in sorted(tmp_path.glob("*/checkpoint/[0-9]*"))}
        return [int(name.partition("-")[0]) for name in newest.values()]

    def wait_until(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert judge.poll() is None, judge.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    judge = start(*arguments, out=tmp_path)
    wait_until(lambda: len(steps()) == 3)
    os.kill(worker_of(judge), signal.SIGKILL)
    _, stderr = judge.communicate(timeout=60)
    assert judge.returncode == 1
    assert "ended without a word (exit status 137)" in stderr
    assert "resumes with the same command" in stderr
    killed = steps()

    judge = start(*arguments, out=tmp_path)
    wait_until(lambda: sum(steps()) > sum(killed))
    judge.send_signal(signal.SIGTERM)
    _, stderr = judge.communicate(timeout=60)
    assert judge.returncode == EXIT_CHECKPOINTED, stderr
    assert not [*tmp_path.glob("*/result.json")]
    # kill -9 may have found some runs a round ahead of others; SIGTERM finds all after the same round
    assert len({stopped - resumed for stopped, resumed in zip(steps(), killed, strict=True)}) == 1

    results = records(start(*arguments, out=tmp_path))
    assert [result["student_sha256"] for result in results] == [one["student_sha256"] for one in separate[1]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--jobs", "2"), "can't be had with --jobs 2"),
        (("--processes", "2"), "can't be had with --processes 2"),
        (("--isolation", "in-process"), "can't be had with --isolation in-process"),
        (("--capture", "compile"), "can't be had with --capture compile"),
    ],
)
def test_command__refuses_what_does_not_go_with_it(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    command = ["run", "--plugin", "dafl", *COMMAND, "--seeds", "0-1", "--together", *arguments]
    outcome = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "runs")])
    assert outcome.exit_code == 2, outcome.output
    assert words in outcome.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("plugin", "words"), [("real-data", "a control on real data"), ("noise", "sees labels alone")])
def test_command__refuses_what_needs_another_process(plugin: str, words: str, tmp_path: Path) -> None:
    command = ["run", "--plugin", plugin, *COMMAND, "--seeds", "0-1", "--together"]
    outcome = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "runs")])
    assert outcome.exit_code == 2, outcome.output
    assert words in outcome.stderr
    assert "Use --jobs." in outcome.stderr


def test_check_together__takes_what_has_a_sealed_worker_of_its_own(tmp_path: Path) -> None:
    (folder,), _ = folders(tmp_path, "dafl", (0,))
    check_together(plan_of(folder))


def joined(made: list[RunFolder], launches: list[Launch], work: Callable[[RunFolder, Any], Any]) -> list[Any]:
    """What judges of a shared process in threads return."""
    shared = SharedProcess(len(made))

    def judge(folder: RunFolder, launch: Launch) -> Any:
        with (
            Guest(shared) as guest,
            temporary_folder() as temporary,
            guest.training_process(plan_of(folder), folder, launch, temporary) as process,
        ):
            return work(folder, process)

    with ThreadPoolExecutor(len(made)) as pool:
        return [each.result() for each in [*map(pool.submit, [judge] * len(made), made, launches)]]


def test_shared_process__one_judge_ends_it_for_all_and_the_others_learn_of_it(tmp_path: Path) -> None:
    made, launches = opened(tmp_path, "dafl")
    begun = threading.Barrier(2)

    def work(folder: RunFolder, process: Any) -> int | None:
        assert process.stdout.readline()
        begun.wait()
        if folder is made[0]:
            end(process)
        process.wait()
        return int(process.returncode)

    assert joined(made, launches, work) == [128 + signal.SIGKILL, EXIT_ENDED_FOR_ANOTHER]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"threads": 2}, "different threads (1, 2)"),
        ({"capture": "off"}, "different capture (auto, off)"),
        ({"shortcuts": ()}, "different shortcuts"),
    ],
)
def test_shared_process__takes_no_runs_that_were_started_otherwise(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    made, launch = folders(tmp_path, "dafl")
    with pytest.raises(PlanError) as refused:
        joined(made, [launch, launch.model_copy(update=changes)], lambda _folder, _process: None)
    assert words in refused.value.message
    assert "without --together" in refused.value.message


def test_result__says_how_many_were_together_and_old_records_were_alone(
    separate: tuple[Path, list[dict[str, Any]]],
) -> None:
    record = read_result(separate[0] / separate[1][0]["run_id"] / "result.json")
    before = record.model_dump(mode="json")
    del before["capture"]["together"]
    assert Result.model_validate(before) == record

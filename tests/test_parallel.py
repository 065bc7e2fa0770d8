"""Runs side by side: places, results in order, stops that reach every worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dfkdbench.cli.run import parse_seeds
from dfkdbench.devices import fitting_threads
from dfkdbench.errors import ConfigError
from dfkdbench.parallel import Place, choose_places
from dfkdbench.records import read_result
from dfkdbench.sandbox import END_ALL
from dfkdbench.workerprocess import on_cores, signals_to, signals_to_all

SLEEPER = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {4, 5, 6, 7}, raising=False)


def test_fitting_threads__one_for_the_smallest_images(four_cores: None) -> None:
    assert [fitting_threads(size) for size in (16, 28, 32, 224)] == [1, 4, 4, 4]


@pytest.mark.parametrize(
    ("jobs", "threads", "image_size", "places"),
    [
        ("1", None, 16, [Place(None)]),
        ("1", 3, 16, [Place(3)]),
        ("auto", None, 16, [Place(1, (core,)) for core in (4, 5, 6, 7)]),
        ("auto", 2, 16, [Place(2, (4, 5)), Place(2, (6, 7))]),
        ("auto", None, 32, [Place(None)]),
        ("2", None, 32, [Place(2, (4, 5)), Place(2, (6, 7))]),
        ("3", 2, 32, [Place(2)] * 3),
        ("6", None, 16, [Place(1)] * 6),
    ],
)
def test_places__have_cores_of_their_own_where_there_are_enough(
    jobs: str, threads: int | None, image_size: int, places: list[Place], four_cores: None
) -> None:
    assert choose_places(jobs, threads, image_size) == places


def test_places__workers_share_an_accelerator_and_need_one_core_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)), raising=False)
    assert choose_places("auto", None, 32, "cuda") == [Place(1, (core,)) for core in range(8)]
    assert choose_places("12", None, 32, "cuda") == [Place(1, (core,)) for core in range(12)]
    assert choose_places("auto", 4, 32, "cuda:1") == [
        Place(4, tuple(range(first, first + 4))) for first in (0, 4, 8, 12)
    ]
    assert choose_places("1", None, 32, "cuda") == [Place(None)]


@pytest.mark.parametrize("jobs", ["0", "-1", "many", ""])
def test_places__refuse_what_is_no_number(jobs: str) -> None:
    with pytest.raises(ConfigError, match="--jobs takes a number of runs from 1 up, or auto"):
        choose_places(jobs, None, 16)


def sleeper() -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_signals__reach_the_processes_of_every_thread_also_later_ones() -> None:
    begun = threading.Barrier(3)

    def watch(late: bool) -> tuple[int, list[int]]:
        with sleeper() as process:
            if late:
                begun.wait()
                asked.wait()
            with signals_to(process) as received:
                if not late:
                    begun.wait()
                return process.wait(20), list(received)

    asked = threading.Event()
    with signals_to_all() as requests, ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(watch, late) for late in (False, True)]
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)
        while not requests:
            time.sleep(0.01)
        asked.set()
        assert [future.result() for future in futures] == [(7, [signal.SIGINT])] * 2
    assert requests == [signal.SIGINT]


def test_signals__a_second_one_kills() -> None:
    stubborn = SLEEPER.replace("sys.exit(7)", "None")
    process = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    watching = threading.Event()

    def watch() -> int:
        with signals_to(process):
            watching.set()
            return process.wait(20)

    with signals_to_all(), ThreadPoolExecutor(1) as pool:
        future = pool.submit(watch)
        watching.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert future.result() == -END_ALL
    process.stdout.close()


def test_cores__hold_for_what_is_started_from_its_first_moment_and_for_nothing_else() -> None:
    mine = sorted(os.sched_getaffinity(0))
    tell = [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"]
    with on_cores((mine[-1],)):
        held = subprocess.run(tell, stdout=subprocess.PIPE, check=True, text=True).stdout
    assert held.strip() == str([mine[-1]])
    assert sorted(os.sched_getaffinity(0)) == mine
    with on_cores(()):
        assert sorted(os.sched_getaffinity(0)) == mine


def run_digits(out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "dfkdbench", "run", "--plugin", "noise", "--dataset", "digits"]
    command += ["--out", str(out), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_run__side_by_side_gives_the_students_of_one_after_the_other(tmp_path: Path) -> None:
    students = {}
    for jobs in ("1", "2"):
        arguments = ("--budget", "smoke", "--seeds", "0-1", "--threads", "1", "--jobs", jobs)
        process = run_digits(tmp_path / jobs, *arguments)
        output, told = process.communicate()
        assert process.returncode == 0, told
        records = [read_result(path) for path in sorted((tmp_path / jobs).glob("*/result.json"))]
        assert [record.seed for record in records] == list(parse_seeds("0-1"))
        assert output.count("finished") == 2
        students[jobs] = [record.student_sha256 for record in records]
    assert "2 at a time, 1 thread(s) each" in told
    assert "seed 1" in told
    assert students["1"] == students["2"]

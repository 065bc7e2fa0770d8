"""Kill -9 at any time and resume: the same student to the bit, nothing lost, and nobody left behind.

    DFKDBENCH_KILLS=17 pytest tests/test_kills.py -m "slow or not slow" -s

kills each method 17 times. The default is three times, and one method is in the default selection.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

KILLS = int(os.environ.get("DFKDBENCH_KILLS", "3"))
SEED = int(os.environ.get("DFKDBENCH_KILLS_SEED", "7"))
COMMON = ("--dataset", "digits", "--budget", "quick", "--threads", "1", "--json", "--checkpoint-seconds", "0.05")
WITH_BATCH_NORM = ("--pair", "resnet_s:resnet_xs")
METHODS = {
    "noise with a bank, teachers apart": ("noise", "--replay", "bank"),
    "dafl with a bank": ("dafl", "--replay", "bank"),
    "dfad with a VAE": ("dfad", "--replay", "vae"),
    "rdskd, whose combiner remembers": ("rdskd", "--replay", "ema"),
    "cmi, whose loss remembers": ("cmi", "--replay", "bank", *WITH_BATCH_NORM),
}
SAME = ("student_sha256", "accuracy_final", "accuracy_oracle", "student_samples", "teacher_queries", "replay_bytes")
PATIENCE_SECONDS = 1800


def start(method: tuple[str, ...], out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dfkdbench", "run", "--plugin", *method, *COMMON, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")


def record_of(judge: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = judge.communicate(timeout=3600)
    assert judge.returncode == 0, stderr
    (record,) = json.loads(stdout)
    assert record["status"] == "finished", record
    return dict(record)


def family_of(judge: int) -> dict[str, int]:
    """A judge's processes by what they are: the worker, the supervisor it left behind, the teachers where apart."""
    found = {"judge": judge}
    for child in children_of(judge):
        module = module_of(child)
        if module == "dfkdbench.worker":
            found["supervisor"] = child
            found |= [("worker", pid) for pid in children_of(child)]
        elif module == "dfkdbench.teacherprocess":
            found["teachers"] = child
    return found


def children_of(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def module_of(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return next((word.decode() for word in words if word.startswith(b"dfkdbench.")), "")
    return ""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def reported(out: Path) -> int:
    """Bytes of reports so far."""
    return sum(file.stat().st_size for file in out.glob("*/scratch/reports.jsonl"))


def newest_checkpoint(out: Path) -> int:
    """Steps at the newest checkpoint."""
    return max((int(file.name.partition("-")[0]) for file in out.glob("*/checkpoint/[0-9]*")), default=0)


class Trials:
    """Kills the runs of a method at random times until that was done often enough.

    Attributes:
        victims: How often each process was killed.
    """

    def __init__(self, method: tuple[str, ...], out: Path, seed: int) -> None:
        self._method, self._out, self._rng = method, out, random.Random(seed)
        self.victims: Counter[str] = Counter()
        began = time.monotonic()
        judge = start(method, out / "undisturbed")
        wait_for(lambda: judge.poll() is not None or reported(out / "undisturbed") > 0, "a first report")
        self._start_seconds = time.monotonic() - began
        self._expected = record_of(judge)

    def kill(self, times: int) -> None:
        """Kills that often; whenever a run comes to its end, the next one begins in a folder of its own."""
        for number in range(1, 1_000):
            out = self._out / f"run{number}"
            while self.victims.total() < times:
                if (record := self._one(out)) is not None:
                    self._compare(record)
                    break
            else:
                self._compare(record_of(start(self._method, out)))
                return

    def _one(self, out: Path) -> dict[str, Any] | None:
        """Starts or resumes a run and kills one of its processes; its record where it was faster."""
        before = newest_checkpoint(out)
        judge = start(self._method, out)
        self._wait_somewhere(judge, out)
        family = family_of(judge.pid)
        victim = self._rng.choice(sorted(family))
        if judge.poll() is not None:
            return record_of(judge)
        with suppress(ProcessLookupError):
            os.kill(family[victim], signal.SIGKILL)
        stdout, stderr = judge.communicate(timeout=PATIENCE_SECONDS)
        assert "Traceback" not in stderr, stderr
        if judge.returncode == 0:
            return dict(json.loads(stdout)[0])
        assert victim == "judge" or "resumes with the same command" in stderr, stderr
        wait_for(lambda: not [pid for pid in family.values() if is_alive(pid)], f"the end of {family}")
        assert newest_checkpoint(out) >= before
        self.victims[victim] += 1
        return None

    def _wait_somewhere(self, judge: subprocess.Popen[str], out: Path) -> None:
        """Into the start as often as into the training."""
        if self._rng.random() < 0.5:
            time.sleep(self._rng.uniform(0, self._start_seconds))
            return
        size = reported(out)
        wait_for(lambda: judge.poll() is not None or reported(out) > size, "a report")
        time.sleep(self._rng.uniform(0, 0.5))

    def _compare(self, record: dict[str, Any]) -> None:
        expected = self._expected
        assert {name: record[name] for name in SAME} == {name: expected[name] for name in SAME}
        for mine, its in zip(record["evaluations"], expected["evaluations"], strict=True):
            assert mine | {"seconds": 0} == its | {"seconds": 0}


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


@pytest.mark.timeout(7200)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
@pytest.mark.parametrize(
    "name", [name if number == 0 else pytest.param(name, marks=pytest.mark.slow) for number, name in enumerate(METHODS)]
)
def test_kill__any_process_at_any_time_gives_the_same_student(name: str, tmp_path: Path) -> None:
    began = time.monotonic()
    trials = Trials(METHODS[name], tmp_path, SEED)
    trials.kill(KILLS)
    told = ", ".join(f"{victim} {count}" for victim, count in sorted(trials.victims.items()))
    print(f"\n{name}: {trials.victims.total()} kills ({told}), seed {SEED}, {time.monotonic() - began:.0f} s")
    assert trials.victims.total() == KILLS

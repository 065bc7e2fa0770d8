"""A round of the suite against the same round in plain PyTorch, as official code writes it, in fp32 and in bf16.

Each way has a process of its own, ours with the environment of a worker; their rounds alternate.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from alternation import ratio
from roundserver import ROWS, WAYS

from dfkdbench.workerprocess import training_environment

TURNS = int(os.environ.get("DFKDBENCH_TURNS", "5"))
SERVER = Path(__file__).with_name("roundserver.py")


def start(stack: ExitStack, row: str, way: str, folder: Path) -> Callable[[], float]:
    """A process that runs rounds one way; what has it run one and tells the seconds."""
    ours = training_environment(folder, folder, 1)
    environment = ours if way != "plain" else {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ours["PYTHONPATH"]}
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, str(SERVER), row, way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
    )

    def run() -> float:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return run


@pytest.mark.parametrize("row", ROWS)
def test_round__against_plain_pytorch(benchmark: Any, row: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        rounds = {way: start(stack, row, way, tmp_path) for way in WAYS}
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for turn in range(-1, TURNS):
            for way, run in rounds.items():
                spent = run()
                if turn >= 0:
                    seconds[way].append(spent)
        middle = {way: statistics.median(each) for way, each in seconds.items()}
        faster = {way: ratio(seconds, "plain", way) for way in WAYS if way != "plain"}
        benchmark.extra_info |= {"seconds a round": middle, "times as fast as plain": faster}
        told = ", ".join(f"{way} {times:.2f} times as fast" for way, times in faster.items())
        print(f"\n{row}: plain {middle['plain']:.3f} s a round; {told}")
        benchmark.pedantic(rounds["fp32"], rounds=1)

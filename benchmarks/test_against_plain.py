"""A round of the suite against the same round in plain PyTorch, as official code writes it, in fp32 and in bf16.

Each way has a process of its own, ours with the environment of a worker; their rounds alternate.
"""

from __future__ import annotations

import os
import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from alternation import ratio
from roundserver import ROWS, WAYS, start

TURNS = int(os.environ.get("DFKDBENCH_TURNS", "5"))


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

"""Two or more ways to do the same work, timed in turn within one run, so that whatever else a machine does hits all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def clock() -> float:
    """Seconds of work. On a CPU with one thread those of the processor: other work on the machine does not count."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def alternate(ways: Mapping[str, Callable[[], object]], turns: int, warmups: int = 1) -> dict[str, list[float]]:
    """Seconds of every way, `turns` of each, one after the other."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(-warmups, turns):
        for name, way in ways.items():
            started = clock()
            way()
            if turn >= 0:
                seconds[name].append(clock() - started)
    return seconds


def ratio(seconds: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """How many times faster: the median over the turns."""
    return statistics.median(one / other for one, other in zip(seconds[slow], seconds[fast], strict=True))

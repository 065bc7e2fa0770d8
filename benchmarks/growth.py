"""How a round's time and memory grow: `python benchmarks/growth.py` measures and writes docs/cost.csv.

Every point has a process of its own with a worker's environment and one thread; seconds are the processor's, so that
other work on the machine matters little. `python tools/cost_page.py` makes the table and drawing of docs/cost.md of it.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from growthpoint import Cost, Point

from dfkdbench.environment import hardware_name
from dfkdbench.workerprocess import temporary_folder, training_environment

ROOT = Path(__file__).parents[1]
WHOLE_BATCHES = ('replay.policy="fifo"', "replay.push_every=1", "replay.first_push=1", "replay.push_size=64")
FIELDS = ("axis", "work", "size", "seconds", "memory_mib", "hardware", "torch")


class Measurement(NamedTuple):
    """A size on an axis, and what is measured there.

    Attributes:
        copies: Processes that run it at the same time.
    """

    axis: str
    work: str
    size: int
    point: Point
    copies: int = 1


def measurements() -> Iterator[Measurement]:
    """Every axis from its smallest size up."""
    for size in (16, 32, 64, 128, 256):
        yield Measurement("images of a batch", "dafl", size, point(size))
    for size in (16, 32, 64, 128, 256):
        alone = point(size, "losses.contrastive.bank_size=0", losses=("contrastive",))
        yield Measurement("images of a batch", "dafl + contrastive", size, alone)
    for side in (16, 32, 64, 128):
        yield Measurement("pixels of an image", "dafl", side * side, point(16, image_size=side))
    for classes in (10, 100, 1000):
        yield Measurement("classes", "dafl", classes, point(64, classes=classes))
    for classes in (10, 100, 1000):
        few = point(64, "phases.impressions.generator_steps=2", plugin="zskd", classes=classes)
        yield Measurement("classes", "zskd", classes, few)
    for teachers in (1, 2, 4, 8):
        yield Measurement("teachers", "dafl", teachers, point(64, teacher_count=teachers, aggregator="mean"))
    for capacity in (1024, 4096, 16384):
        whole = point(64, f"replay.capacity={capacity}", *WHOLE_BATCHES, replay="bank", pushes=capacity // 64)
        yield Measurement("images remembered", "dafl + bank", capacity, whole)
    for seeds in (1, 2, 4):
        yield Measurement("seeds at once", "dafl", seeds, point(64), copies=seeds)


def point(batch_size: int, *settings: str, plugin: str = "dafl", **more: Any) -> Point:
    """A point with batches of that size."""
    return Point(plugin=plugin, settings=(f"batch_size={batch_size}", *settings), **more)


def measure(what: Measurement) -> Cost:
    """The cost of a point; of several processes at once, the sum over them."""
    with temporary_folder() as folder:
        processes = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("growthpoint.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=training_environment(folder, folder, 1),
                text=True,
            )
            for _ in range(what.copies)
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(what.point.model_dump_json())
            process.stdin.close()
            process.stdin = None
        costs = [Cost.model_validate_json(process.communicate()[0]) for process in processes]
    return Cost(seconds=sum(cost.seconds for cost in costs), memory_mib=sum(cost.memory_mib for cost in costs))


def main() -> None:
    """Measures everything and writes the file."""
    with (ROOT / "docs" / "cost.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for what in measurements():
            cost = measure(what)
            row = (what.axis, what.work, what.size, f"{cost.seconds:.4f}", f"{cost.memory_mib:.1f}")
            writer.writerow((*row, hardware_name("cpu"), torch.__version__.partition("+")[0]))
            print(*row, flush=True)


if __name__ == "__main__":
    main()

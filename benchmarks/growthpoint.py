"""One point of growth.py, in a process of its own: what to build on standard input, its cost on standard output."""

from __future__ import annotations

import resource
import statistics
import sys
import time

import torch
from pydantic import BaseModel, ConfigDict

from dfkdbench.assembly import Assembly
from dfkdbench.bench import Request
from dfkdbench.devices import prepare_torch
from dfkdbench.plan import Plan
from dfkdbench.registry import load_registry
from dfkdbench.shortcuts import SHORTCUTS
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly

ROUNDS = 3


class Point(BaseModel):
    """What is timed: a method on a cell, with another image size or number of classes where these are given.

    Attributes:
        pushes: Batches that the replay memory sees before the first round.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plugin: str
    settings: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    replay: str | None = None
    teacher_count: int = 1
    aggregator: str | None = None
    image_size: int | None = None
    classes: int | None = None
    pushes: int = 0


class Cost(BaseModel):
    """What a point costs: processor seconds of a round, and the memory that its run adds to that of the imports."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float
    memory_mib: float


def plan_of(point: Point) -> Plan:
    """The point's plan on CIFAR-10's shapes with a small residual pair."""
    asked = point.model_dump(exclude={"image_size", "classes", "pushes"})
    request = Request(dataset="cifar10", pair="wrn_16_2:wrn_16_1", device="cpu", **asked)
    plan = plan_untrained(load_registry(), request)
    shape = {"image_size": point.image_size, "classes": point.classes}
    given = {name: value for name, value in shape.items() if value is not None}
    return plan.model_copy(update={"input": plan.input.model_copy(update=given)})


def peak_mib() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def cost_of(point: Point) -> Cost:
    """Median of a few rounds after one that warms up."""
    plan = plan_of(point)
    load_kernels()
    before = peak_mib()
    with untrained_assembly(plan) as assembly:
        fill(assembly, point.pushes)
        assembly.loop.advance()
        seconds = [time_round(assembly) for _ in range(ROUNDS)]
    return Cost(seconds=statistics.median(seconds), memory_mib=peak_mib() - before)


def load_kernels() -> None:
    """Has torch load what any work needs, such as its library of matrix products: no part of what a run adds."""
    side = torch.ones(64, 64, requires_grad=True)
    torch.autograd.backward((side @ side).sum())


def fill(assembly: Assembly, pushes: int) -> None:
    """Shows one batch to the replay memory over and over."""
    if pushes:
        batch = assembly.generator.sample(assembly.plan.recipe.batch_size)
        for _ in range(pushes):
            assembly.parts.replay.observe(batch, assembly.parts.target_of)


def time_round(assembly: Assembly) -> float:
    """Processor seconds of one round."""
    started = time.process_time()
    assembly.loop.advance()
    return time.process_time() - started


def main() -> None:
    """Answers the point on standard input with one JSON object."""
    prepare_torch(torch.device("cpu"), 1, tuple(SHORTCUTS))
    print(cost_of(Point.model_validate_json(sys.stdin.read())).model_dump_json())


if __name__ == "__main__":
    main()

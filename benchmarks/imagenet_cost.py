"""Arithmetic and processor time of a whole tier at 224 pixels, by method, from measured rounds.

    python -P benchmarks/imagenet_cost.py dafl zskt deepinversion
    python -P benchmarks/imagenet_cost.py mb_dfkd --batch-size 8 --set replay.first_push=1

One JSON line a method. Every phase of its plan is measured in pieces and these are counted as often as the plan has
them: a short round as it is; of a long one, or one whose generator has a batch size of its own, two steps of the
generator (all that begins and ends a batch of images included) and two of the student apart. `measured` says which.
A piece runs once to warm up, is timed, and runs again with its operations counted, on small batches; the plan's batches
cost in proportion. Teachers have random weights: a step costs the same whatever they know. What a tier costs is
arithmetic from these, not a run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from dfkdbench.assembly import Assembly
from dfkdbench.bench import Request
from dfkdbench.errors import DfkdbenchError
from dfkdbench.plan import Plan, PlannedPhase
from dfkdbench.registry import Registry, load_registry
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly

FEW_STEPS = 2
LONG_ROUND = 20
PASSES = 3


class Piece(NamedTuple):
    """A part of a phase that is measured by itself.

    Attributes:
        phase: What is run: one round of it is a pass.
        times: How often the plan has what a pass does.
        images: Images of a pass in the plan: those the student is taught, or the generator's where there are none.
        way: How it is measured, in words.
    """

    phase: PlannedPhase
    times: float
    images: int
    way: str


class Cost(NamedTuple):
    """What the pieces of a plan come to."""

    seconds: float
    flops: float


def measure(registry: Registry, request: Request, batch_size: int) -> dict[str, object]:
    """What a tier of a method costs.

    Args:
        request: A cell and its method, with the plan's own batches.
        batch_size: Images of a measured batch.
    """
    plan = plan_untrained(registry, request)
    pieces = [piece for phase in plan.phases for piece in cut(plan, phase)]
    small = plan_untrained(registry, _with_small_batches(request, plan, batch_size))
    rounds = tuple(piece.phase.model_copy(update={"rounds": PASSES}) for piece in pieces)
    with untrained_assembly(small.model_copy(update={"phases": rounds})) as assembly:
        costs = [_cost_of(piece, assembly, batch_size) for piece in pieces]
    samples = plan.student_steps * (plan.recipe.batch_size + plan.replay_size)
    seconds, flops = (sum(values) for values in zip(*costs, strict=True))
    return {
        "plugin": request.plugin,
        "pair": plan.pair,
        "teachers": len(plan.teachers),
        "settings": request.settings,
        "batch_size": batch_size,
        "measured": "; ".join(dict.fromkeys(f"{piece.phase.name}: {piece.way}" for piece in pieces)),
        "student_samples": samples,
        "processor_seconds_a_sample": _rounded(seconds / samples),
        "gflop_a_sample": _rounded(flops / samples / 1e9),
        "exaflop_a_tier": _rounded(flops / 1e18),
    }


def cut(plan: Plan, phase: PlannedPhase) -> Iterator[Piece]:
    """The pieces in which a phase is measured."""
    steps, batch = phase.phase, _generator_batch(plan)
    taught = plan.recipe.batch_size + plan.replay_size
    mixed = steps.generator_steps and steps.student_steps and batch != plan.recipe.batch_size
    if plan.loop or not (mixed or steps.generator_steps + steps.student_steps > LONG_ROUND):
        yield Piece(phase, phase.rounds, taught * steps.student_steps or batch * steps.generator_steps, "whole rounds")
        return
    if steps.student_images != "fresh":
        raise DfkdbenchError(
            f"{plan.plugin}: the steps of phase '{phase.name}' share images and can't be measured apart."
        )
    for kind, count, images in (("generator", steps.generator_steps, batch), ("student", steps.student_steps, taught)):
        if count:
            alone = {"generator_steps": 0, "student_steps": 0, f"{kind}_steps": FEW_STEPS}
            short = phase.model_copy(update={"phase": steps.model_copy(update=alone)})
            yield Piece(short, phase.rounds * count / FEW_STEPS, images * FEW_STEPS, "steps apart")


def _generator_batch(plan: Plan) -> int:
    return int(plan.slots["generator"].options.get("batch_size") or plan.recipe.batch_size)


def _rounded(value: float) -> float:
    """Three digits that count."""
    return float(f"{value:.3g}")


def _with_small_batches(request: Request, plan: Plan, batch_size: int) -> Request:
    of_its_own = plan.slots["generator"].options.get("batch_size")
    keys = ("batch_size", "generator.batch_size") if of_its_own else ("batch_size",)
    return replace(request, settings=(*request.settings, *(f"{key}={batch_size}" for key in keys)))


def _cost_of(piece: Piece, assembly: Assembly, batch_size: int) -> Cost:
    loop, meter = assembly.loop, assembly.meter
    loop.advance()
    started, before = time.process_time(), meter.student_samples
    loop.advance()
    seconds = time.process_time() - started
    images = meter.student_samples - before or batch_size * piece.phase.phase.generator_steps
    with FlopCounterMode(display=False) as counter:
        loop.advance()
    scale = piece.times * piece.images / images
    return Cost(seconds * scale, counter.get_total_flops() * scale)


def main() -> None:
    """Prints a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plugins", nargs="+")
    parser.add_argument("--pair", default="resnet50:resnet18")
    parser.add_argument("--teachers", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    torch.set_num_threads(1)
    registry = load_registry()
    for plugin in given.plugins:
        request = Request(
            plugin,
            "imagenet",
            pair=given.pair,
            budget="standard",
            settings=tuple(given.settings),
            teacher_count=given.teachers,
            device="cpu",
        )
        try:
            print(json.dumps(measure(registry, request, given.batch_size)), flush=True)
        except DfkdbenchError as refused:
            print(json.dumps({"plugin": plugin, "refused": refused.format_message()}), flush=True)


if __name__ == "__main__":
    main()

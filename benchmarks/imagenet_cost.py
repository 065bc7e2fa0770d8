"""Arithmetic and processor time of a student sample at 224 pixels, by method, and what a whole tier comes to.

    python -P benchmarks/imagenet_cost.py dafl zskt deepinversion

One JSON line a method, from one warm round, one timed and one whose operations are counted. Teachers have random
weights: a step costs the same whatever they know. What a tier costs is arithmetic from these, not a run.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from dfkdbench.bench import Request
from dfkdbench.registry import load_registry
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly

TIER = "standard"


def measure(plugin: str, pair: str, batch_size: int) -> dict[str, object]:
    """What a round of a method costs, by student sample."""
    registry = load_registry()
    settings = (f"batch_size={batch_size}",)
    plan = plan_untrained(
        registry, Request(plugin, "imagenet", pair=pair, budget=TIER, settings=settings, device="cpu")
    )
    samples = registry.datasets.get("imagenet").item.budgets[TIER].student_samples
    with untrained_assembly(plan) as assembly:
        assembly.loop.advance()
        started, before = time.process_time(), assembly.meter.student_samples
        assembly.loop.advance()
        seconds, taught = time.process_time() - started, assembly.meter.student_samples - before
        if not taught:
            raise SystemExit(f"{plugin}: its first rounds teach no student, so they don't tell what a sample costs.")
        with FlopCounterMode(display=False) as counter:
            assembly.loop.advance()
    flops = counter.get_total_flops() / taught
    return {
        "plugin": plugin,
        "pair": pair,
        "batch_size": batch_size,
        "samples_a_round": taught,
        "processor_seconds_a_sample": round(seconds / taught, 3),
        "gflop_a_sample": round(flops / 1e9, 1),
        "exaflop_a_tier": round(flops * samples / 1e18, 2),
    }


def main() -> None:
    """Prints a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plugins", nargs="+")
    parser.add_argument("--pair", default="resnet50:resnet18")
    parser.add_argument("--batch-size", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for plugin in given.plugins:
        print(json.dumps(measure(plugin, given.pair, given.batch_size)), flush=True)


if __name__ == "__main__":
    main()

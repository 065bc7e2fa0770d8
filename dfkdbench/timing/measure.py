"""What a round of a task costs here: seconds, samples, arithmetic against the device's peak, memory."""

from __future__ import annotations

import math
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from dfkdbench.capture import WARM_UP, Rounds, build_rounds
from dfkdbench.environment import hardware_name
from dfkdbench.plan import Plan
from dfkdbench.reports import Capture
from dfkdbench.shortcuts import CAPTURES
from dfkdbench.timing.split import time_parts, wait_for
from dfkdbench.timing.untrained import untrained_assembly

_SIDES = {"cpu": 1024, "cuda": 8192}
_CONVOLVED = (64, 256, 8)
_PEAK_TRIES = 5


class Cost(BaseModel):
    """What `measure` found. Seconds are of a round: all its generator and student steps.

    Attributes:
        seconds: Median of the timed rounds.
        parts: Seconds by part; see `dfkdbench.timing.split`.
        student_samples: Images a round trains the student on.
        teacher_queries: Images its teachers see, forward and backward each counted.
        flops: Floating point operations of matrix products and convolutions; multiply and add are two.
        peak_flops: Of them a second, in the best of some large products of that precision (`peak_flops`).
        peak_memory_mb: CPU: of the whole process, its start included. Accelerator: of what is allocated on it.
        capture: How the timed rounds are submitted to the device, and why.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plugin: str
    dataset: str
    pair: str
    batch_size: int
    precision: str
    device: str
    hardware: str
    threads: int
    seconds: float
    parts: dict[str, float]
    student_samples: int
    teacher_queries: int
    flops: float
    peak_flops: float
    peak_memory_mb: float
    capture: Capture

    @property
    def utilisation(self) -> float:
        """Achieved over peak, in percent."""
        return 100 * self.flops / self.seconds / self.peak_flops


def measure(plan: Plan, rounds: int, capture: str = CAPTURES[0]) -> Cost:
    """Times some rounds of a plan from `plan_untrained`, captured where they can be, after some that warm up.

    Parts and operations are those of eager rounds.

    Replay memories fill as they go: what they cost later on is another question.
    """
    device = torch.device(plan.device)
    with untrained_assembly(plan) as assembly:
        assembly.loop.advance()
        parts = time_parts(assembly, rounds)
        before = assembly.meter.counters()
        with FlopCounterMode(display=False, custom_mapping=packed_products()) as counter:
            assembly.loop.advance()
        after = assembly.meter.counters()
        run = build_rounds(assembly, capture)
        for _ in range(WARM_UP + 1):
            run.advance()
        seconds = [_time_round(run, device) for _ in range(rounds)]
        return Cost(
            plugin=plan.plugin,
            dataset=plan.input.dataset,
            pair=plan.pair,
            batch_size=plan.recipe.batch_size,
            precision=plan.recipe.precision,
            device=plan.device,
            hardware=hardware_name(plan.device),
            threads=torch.get_num_threads(),
            seconds=statistics.median(seconds),
            parts=parts,
            student_samples=after["student_samples"] - before["student_samples"],
            teacher_queries=after["teacher_queries"] - before["teacher_queries"],
            flops=float(counter.get_total_flops()),
            peak_flops=peak_flops(device, plan.recipe.precision),
            peak_memory_mb=peak_memory_mb(device),
            capture=run.capture,
        )


def packed_products() -> dict[Any, Any]:
    """How many operations products with matrices laid out beforehand take, which the framework's counter leaves out."""

    def count(rows: Sequence[int], matrix: Sequence[int], *_more: object, **_shapes: object) -> int:
        return 2 * math.prod(rows) * matrix[0]

    product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return {} if product is None else {product: count}


def _time_round(run: Rounds, device: torch.device) -> float:
    wait_for(device)
    started = time.perf_counter()
    run.advance()
    wait_for(device)
    return time.perf_counter() - started


def peak_flops(device: torch.device, precision: str) -> float:
    """Operations a second of the best of some large products in a precision, "fp32" or "bf16".

    They are of square matrices and, since some CPUs have a faster library for these, in 3 x 3 convolutions. On CUDA
    devices products in float32 may take the short cut through TF32 where the framework's convolutions do.
    """
    side = _SIDES.get(device.type, _SIDES["cpu"])
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.ones(2, side, side, device=device, dtype=dtype)
    batch, channels, pixels = _CONVOLVED
    maps = torch.ones(batch, channels, pixels, pixels, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    kernel = torch.ones(channels, channels, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    products = 2 * side**3 / _fastest(lambda: left @ right, device)
    with torch.no_grad():
        convolutions = 18 * channels * maps.numel() / _fastest(lambda: F.conv2d(maps, kernel, padding=1), device)
    matmul.allow_tf32 = before
    return max(products, convolutions)


def _fastest(call: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of the fastest of some calls."""
    best = float("inf")
    for _ in range(_PEAK_TRIES):
        wait_for(device)
        started = time.perf_counter()
        call()
        wait_for(device)
        best = min(best, time.perf_counter() - started)
    return best


def peak_memory_mb(device: torch.device) -> float:
    """The most memory so far, in MiB: allocated on an accelerator, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

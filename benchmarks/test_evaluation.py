"""What the judge does with a snapshot: weights out of the file's bytes, and the accuracy on a whole test set."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dfkdbench.bench import Request
from dfkdbench.datasets.images import TensorImages
from dfkdbench.evaluate import evaluate, judge_student
from dfkdbench.models.build import build_network
from dfkdbench.registry import load_registry
from dfkdbench.timing.untrained import plan_untrained
from dfkdbench.weights import dump_weights

IMAGES = 1_000

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("dataset", "pair"), [("mnist", "lenet5:lenet5_half"), ("cifar10", "wrn_40_2:wrn_16_1")])
def test_snapshot__judged(benchmark: Any, dataset: str, pair: str) -> None:
    registry = load_registry()
    plan = plan_untrained(registry, Request("noise", dataset, pair, device="cpu"))
    shape, classes = plan.input.image_shape, plan.input.classes
    network = build_network(registry.models.get(plan.student.name).item, shape[0], classes, shape[1])
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (IMAGES, *shape), generator=rng).to(torch.uint8)
    images = TensorImages(pixels, torch.arange(IMAGES) % classes, classes, dataset)
    data = dump_weights(network)
    benchmark.pedantic(judge_student, (network, data, "benchmark", plan, images), rounds=3, warmup_rounds=1)
    benchmark.extra_info["images"] = IMAGES


def test_pixels__a_network_that_does_nothing(benchmark: Any) -> None:
    """What an evaluation costs beside the student: normalising, counting, calibration."""
    pixels = torch.zeros(10_000, 1, 32, 32, dtype=torch.uint8)
    images = TensorImages(pixels, torch.arange(10_000) % 10, 10, "nothing")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 32, 10))
    benchmark.pedantic(evaluate, (network, images, (0.5,), (0.5,), "cpu"), rounds=5, warmup_rounds=1)

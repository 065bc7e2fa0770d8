"""A round of the standard loop against the same mathematics hand-inlined in plain PyTorch, alternating in one run."""

from __future__ import annotations

import statistics
import time

import pytest
import torch
import torch.nn.functional as F

from dfkdbench.assembly import Assembly, build_network
from dfkdbench.config import resolve
from dfkdbench.descriptors import Budget, Method
from dfkdbench.files import sha256_of
from dfkdbench.plan import Cell, make_plan
from dfkdbench.recipe import LossChoice, PartChoice, Phase, Recipe
from dfkdbench.registry import Owned, load_registry
from dfkdbench.weights import dump_weights

ROUNDS = 60


def assemble(tmp_path, batch_size: int) -> Assembly:
    """The DAFL family's joint step on the default digits pair, with a teacher of random weights."""
    registry = load_registry()
    recipe = Recipe(
        generator=PartChoice(name="conv"),
        losses={
            "one_hot": LossChoice(),
            "class_entropy": LossChoice(weight=5.0, options={"log_base": 10}),
            "activation": LossChoice(weight=0.1),
        },
        batch_size=batch_size,
        phases={"distil": Phase(student_images="shared", rounds=100_000)},
    )
    method = Method(name="joint", summary="joint step", recipe=recipe)
    dataset, models = registry.datasets.get("digits"), registry.models
    budget = Budget(10**9, 10**10, 10**6)
    cell = Cell(dataset, models.get("lenet_s"), models.get("lenet_xs"), "bench", budget)
    resolved = resolve(registry, method, ("digits", cell.pair, "bench"))
    owned = Owned(method, "dfkdbench", "", "")
    plan = make_plan(owned, resolved, cell, {"teacher": ""}, 0, "cpu", "")
    torch.manual_seed(1)
    weights = dump_weights(build_network(plan.teachers[0].model, plan.input))
    path = tmp_path / "teacher.safetensors"
    path.write_bytes(weights)
    plan = make_plan(owned, resolved, cell, {"teacher": sha256_of(weights)}, 0, "cpu", "")
    return Assembly(plan, [path], torch.device("cpu"))


def inlined_round(assembly: Assembly):
    """The same round without the loop, the parts and the meter."""
    parts = assembly.parts
    network, teacher, student = parts.generator.network, assembly.teacher_networks[0], parts.student
    generator_optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    student_optimizer = torch.optim.Adam(student.parameters(), lr=1e-3, fused=True)
    rng = torch.Generator().manual_seed(0)

    def step() -> None:
        images = network(torch.randn(parts.batch_size, 100, generator=rng))
        first = F.relu(teacher.conv1(images))
        second = F.relu(teacher.conv2(F.max_pool2d(first, 2)))
        features = F.relu(teacher.conv3(F.max_pool2d(second, 2))).flatten(1)
        logits = teacher.fc(features)
        mean = logits.softmax(1).mean(0)
        loss = (
            F.cross_entropy(logits, logits.detach().argmax(1))
            + 5 * (mean * mean.clamp_min(1e-12).log10()).sum()
            - 0.1 * features.abs().mean()
        )
        generator_optimizer.zero_grad()
        loss.backward()
        generator_optimizer.step()
        imitation = F.kl_div(
            student(images.detach()).log_softmax(1),
            logits.detach().log_softmax(1),
            log_target=True,
            reduction="batchmean",
        )
        student_optimizer.zero_grad()
        imitation.backward()
        student_optimizer.step()

    return step


def seconds_of(step) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


@pytest.mark.parametrize("batch_size", [16, 128])
def test_core_step_against_hand_inlined(benchmark, tmp_path, batch_size):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours = assemble(tmp_path, batch_size).loop.advance
        plain = inlined_round(assemble(tmp_path, batch_size))
        for step in (ours, plain) * 5:
            step()
        pairs = [(seconds_of(ours), seconds_of(plain)) for _ in range(ROUNDS)]
        ratio = statistics.median(mine / theirs for mine, theirs in pairs)
        benchmark.extra_info["ratio_to_hand_inlined"] = ratio
        print(f"\ncore step / hand-inlined step at batch {batch_size}: {ratio:.3f} (median of {ROUNDS} pairs)")
        benchmark.pedantic(ours, rounds=20)
    finally:
        torch.set_num_threads(threads)

"""Each installed generator, loss and replay memory: what one call costs, on batches of 64 images of 3 x 32 x 32.

Networks around them are toys, so that little else is measured.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from installed import BATCH, TASK, assemble_part, parts, subject

from dfkdbench.loop import ImageObjective
from dfkdbench.studentupdates import build_student_update

ROUNDS = {"rounds": 5, "warmup_rounds": 1}
PUSHES = 20

pytestmark = pytest.mark.usefixtures("one_thread")


def of_role(role: str) -> list[str]:
    return [name for name in parts("loss") if subject("loss", name).item.role == role]


def learning() -> list[str]:
    provided = {name: subject("generator", name).item.provides for name in parts("generator")}
    return [name for name, provides in provided.items() if "images_with_gradient" in provides]


@pytest.mark.parametrize("name", learning())
def test_generator__fit_step(benchmark: Any, name: str) -> None:
    run = assemble_part("generator", name).parts
    benchmark.pedantic(run.generator.fit, (ImageObjective(run, run.phases[0]), 1), **ROUNDS)


@pytest.mark.parametrize("name", parts("generator"))
def test_generator__sample(benchmark: Any, name: str) -> None:
    assembly = assemble_part("generator", name)
    assembly.loop.advance()
    benchmark.pedantic(assembly.generator.sample, (BATCH,), **ROUNDS)


@pytest.mark.parametrize("name", of_role("image"))
def test_image_loss__with_its_gradient(benchmark: Any, name: str) -> None:
    run = assemble_part("loss", name).parts
    objective, (drawn, labels) = ImageObjective(run, run.phases[0]), TASK.draw(BATCH, seed=0)

    def call() -> None:
        images = drawn.clone().requires_grad_()
        torch.autograd.backward(objective(images, labels, images))

    benchmark.pedantic(call, **ROUNDS)


@pytest.mark.parametrize("name", of_role("student"))
def test_student_loss__in_a_step(benchmark: Any, name: str) -> None:
    run = assemble_part("loss", name).parts
    update, drawn = build_student_update(run), TASK.draw(BATCH, seed=0)
    benchmark.pedantic(update.step, (drawn, run.answer_of(drawn.images), BATCH), **ROUNDS)


@pytest.mark.parametrize("call", ["observe", "sample"])
@pytest.mark.parametrize("name", parts("replay"))
def test_replay(benchmark: Any, name: str, call: str) -> None:
    run = assemble_part("replay", name).parts
    fresh = run.generator.sample(BATCH)
    for _ in range(PUSHES):
        run.replay.observe(fresh, run.target_of)
    arguments = {"observe": (fresh, run.target_of), "sample": (max(run.replay_size, 1), run.target_of)}
    benchmark.pedantic(getattr(run.replay, call), arguments[call], **ROUNDS)
    benchmark.extra_info["bytes held"] = run.replay.nbytes

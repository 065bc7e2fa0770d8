"""The digits cells leave room: their students, distilled on real images, come near the teacher."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dfkdbench.datasets.digits import load_digits
from dfkdbench.datasets.images import normalise
from dfkdbench.descriptors import DatasetSpec, ModelSpec
from dfkdbench.evaluate import evaluate
from dfkdbench.models.build import build_network
from dfkdbench.teachers.bundle import load_teacher
from dfkdbench.teachers.store import TeacherStore

BATCH = 128
SAMPLES = 200_000


@pytest.mark.slow
@pytest.mark.parametrize(("teacher", "student"), [("lenet_s", "lenet_xs"), ("resnet_s", "resnet_xs")])
def test_digits_student__reaches_96_on_real_images(
    teacher: str, student: str, digits: DatasetSpec, models: dict[str, ModelSpec]
) -> None:
    network = load_teacher(TeacherStore.default().get(f"digits-{teacher}-s0"), models[teacher])
    learner = build_network(models[student], 1, 10, 16)
    images = normalise(load_digits(None, train=True).images, digits.mean, digits.std)
    target = F.log_softmax(network(images), dim=1)
    optimizer = torch.optim.Adam(learner.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(SAMPLES // BATCH):
        chosen = torch.randint(0, len(images), (BATCH,), generator=generator)
        predicted = F.log_softmax(learner(images[chosen]), dim=1)
        optimizer.zero_grad()
        F.kl_div(predicted, target[chosen], reduction="batchmean", log_target=True).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    test = load_digits(None, train=False)
    assert evaluate(learner, test, digits.mean, digits.std, "cpu").accuracy >= 96

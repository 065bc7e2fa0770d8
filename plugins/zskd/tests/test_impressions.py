from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.parts.losses.label import LabelLoss
from dfkdbench.parts.options import LabelOptions
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.seams import Setting, Signal, View
from dfkdbench_zskd.affine import random_affine
from dfkdbench_zskd.impressions import ImpressionsGenerator
from dfkdbench_zskd.options import ImpressionsOptions
from dfkdbench_zskd.similarity import concentrations

MakeSetting = Callable[..., Setting]
WEIGHTS = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def setting(make_setting: MakeSetting) -> Setting:
    return make_setting(
        classes=5, final_layer=WEIGHTS, image_shape=(1, 8, 8), pixel_mean=(0.3,), pixel_std=(0.4,), batch_size=16
    )


def impressions(setting: Setting, **options: Any) -> ImpressionsGenerator:
    return ImpressionsGenerator(ImpressionsOptions.model_validate({"batch_size": None} | options), setting)


class Teacher(nn.Module):
    """A fixed random network whose logits are large enough for a temperature of 20."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5))
        self.eval().requires_grad_(False)
        self.layers[3].weight.mul_(150)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


class Objective:
    """The objective of ZSKD's first stage; keeps KL(target || teacher) of each step."""

    def __init__(self, setting: Setting) -> None:
        self.teacher, self.loss = Teacher(), LabelLoss(LabelOptions(temperature=20.0), setting)
        self.divergences: list[float] = []

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        signal = Signal(self.teacher(images))
        loss = self.loss(View(images, signal, (signal,), labels=labels))
        entropy = torch.special.entr(labels).sum(1).mean()
        self.divergences.append((loss - entropy).item())
        return loss


def test_targets__sum_to_one_and_have_the_mean_of_their_dirichlet(setting: Setting) -> None:
    targets = impressions(setting).draw_labels(0, 100_000)
    torch.testing.assert_close(targets.sum(1), torch.ones(100_000))
    alphas = concentrations(WEIGHTS, "intended", 1e-4)
    index = torch.arange(100_000)
    for scale in range(2):
        for k in range(5):
            mine = targets[(index % 5 == k) & (index // 5 % 2 == scale)]
            expected = (alphas[scale, k] / alphas[scale, k].sum()).float()
            torch.testing.assert_close(mine.mean(0), expected, atol=0.02, rtol=0)


def test_targets__of_the_smaller_scale_are_sharper_only_as_intended(setting: Setting) -> None:
    index = torch.arange(20_000)
    gaps = {}
    for kind in ("intended", "official"):
        sharpness = impressions(setting, beta_effective=kind).draw_labels(0, 20_000).amax(1)
        gaps[kind] = (sharpness[index // 5 % 2 == 1].mean() - sharpness[index // 5 % 2 == 0].mean()).item()
    assert gaps["intended"] > 0.1
    assert abs(gaps["official"]) < 0.02


def test_fit__targets_are_approached_and_pixels_stay_valid(setting: Setting) -> None:
    objective = Objective(setting)
    before = {name: value.clone() for name, value in objective.teacher.state_dict().items()}
    generator = impressions(setting, optimizer=OptimizerOptions(lr=0.02))
    generator.fit(objective, 300)
    assert objective.divergences[-1] < 0.2 * objective.divergences[0]
    assert min(objective.divergences) >= -1e-5
    pixels = generator.sample(200).images * 0.4 + 0.3
    assert pixels.min() >= -1e-5
    assert pixels.max() <= 1 + 1e-5
    assert all(torch.equal(value, before[name]) for name, value in objective.teacher.state_dict().items())


def test_sample__comes_with_soft_targets(setting: Setting) -> None:
    generator = impressions(setting)
    assert generator.sample(7).labels is not None
    generator.fit(Objective(setting), 2)
    labels = generator.sample(7).labels
    assert labels is not None
    assert labels.shape == (7, 5)
    torch.testing.assert_close(labels.sum(1), torch.ones(7))


def test_impressions__resume_bitwise(setting: Setting) -> None:
    generator = impressions(setting, affine=True)
    generator.fit(Objective(setting), 2)
    saved = copy.deepcopy(generator.state_dict())
    generator.fit(Objective(setting), 2)
    expected = generator.sample(20)
    resumed = impressions(setting, affine=True)
    resumed.load_state_dict(saved)
    resumed.fit(Objective(setting), 2)
    for mine, other in zip(resumed.sample(20), expected, strict=True):
        assert torch.equal(mine, other)


def test_impressions__need_the_last_layer(make_setting: MakeSetting) -> None:
    with pytest.raises(ValueError, match="weights of the teacher's last layer"):
        impressions(make_setting())


def test_affine__keeps_shapes_and_brings_in_black(setting: Setting) -> None:
    generator = impressions(setting, affine=True)
    generator.fit(Objective(setting), 1)
    images = generator.sample(400).images
    unit = images * 0.4 + 0.3
    assert images.shape == (400, 1, 8, 8)
    assert unit.min() >= -1e-5
    assert unit.max() <= 1 + 1e-5
    corners = unit[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners.abs() < 1e-5).float().mean() > 0.3


def test_random_affine__differs_by_image_and_keeps_most_of_a_disc() -> None:
    side = torch.linspace(-1, 1, 32)
    disc = ((side[:, None] ** 2 + side**2) < 0.25).double().expand(64, 1, 32, 32)
    views = random_affine(disc, torch.Generator().manual_seed(0))
    kept = views.sum((1, 2, 3)) / disc[0].sum()
    assert kept.min() > 0.3
    assert kept.max() < 1.05
    assert kept.std() > 0.1
    assert views.flatten(1).unique(dim=0).shape[0] == 64

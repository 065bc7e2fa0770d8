from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dfkdbench.parts.generators.frozen import FrozenGenerator
from dfkdbench.parts.generators.noise import NoiseGenerator
from dfkdbench.parts.generators.real import RealImages
from dfkdbench.parts.options import ConvNetworkOptions, RealOptions
from dfkdbench.recipe import Options
from dfkdbench.seams import Batch, Generator, Setting


@pytest.fixture(params=["noise", "frozen"])
def make(request: pytest.FixtureRequest, make_setting: Callable[..., Setting]) -> Callable[[int], Generator]:
    def build(seed: int) -> Generator:
        if request.param == "noise":
            return NoiseGenerator(Options(), make_setting(seed))
        return FrozenGenerator(ConvNetworkOptions(channels=(8, 8, 4)), make_setting(seed))

    return build


def test_control__images_are_standardised_in_every_mode(make: Callable[[int], Generator]) -> None:
    generator = make(0)
    for mode in (True, False):
        generator.train(mode)
        images = generator.sample(256).images
        assert images.shape == (256, 1, 16, 16)
        assert abs(images.mean()) < 0.01
        assert abs(images.std() - 1) < 0.01


def test_control__fit_never_calls_the_objective_and_changes_nothing(make: Callable[[int], Generator]) -> None:
    generator = make(0)
    before = copy.deepcopy(generator.state_dict())

    def objective(images: Tensor) -> Tensor:
        raise AssertionError("called")

    generator.fit(objective, 3)
    after = generator.state_dict()
    assert torch.equal(before["rng"], after["rng"])
    assert all(torch.equal(before["network"][name], value) for name, value in after.get("network", {}).items())


def test_control__resumes_bitwise(make: Callable[[int], Generator]) -> None:
    generator = make(0)
    generator.sample(4)
    saved = copy.deepcopy(generator.state_dict())
    expected = generator.sample(4).images
    resumed = make(1)
    assert not torch.equal(expected, resumed.sample(4).images)
    resumed.load_state_dict(saved)
    assert torch.equal(expected, resumed.sample(4).images)


def test_frozen__is_not_trainable_and_differs_from_noise(make_setting: Callable[..., Setting]) -> None:
    generator = FrozenGenerator(ConvNetworkOptions(), make_setting())
    assert not any(p.requires_grad for p in generator.network.parameters())
    images = generator.sample(64).images
    neighbours = torch.stack([images[..., :-1].flatten(), images[..., 1:].flatten()])
    assert torch.corrcoef(neighbours)[0, 1] > 0.3


def test_real__a_crop_brings_in_black(make_setting: Callable[..., Setting]) -> None:
    real = Batch(torch.full((3, 1, 16, 16), 9.0), torch.tensor([0, 1, 2]))
    setting = make_setting(real=real, pixel_mean=(0.3,), pixel_std=(0.2,))
    drawn = RealImages(RealOptions(augmentation="crop"), setting).sample(100).images
    torch.testing.assert_close(drawn.unique(), torch.tensor([-1.5, 9.0]))
    assert RealImages(RealOptions(), setting).sample(100).images.unique().tolist() == [9.0]

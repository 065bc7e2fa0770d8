"""Students with several heads: published sizes, shapes of the levels, means, independence of the taps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dfkdbench.descriptors import SIGNALS
from dfkdbench.errors import ConfigError
from dfkdbench.models.build import build_network
from dfkdbench.seams import Taps, read_signal
from dfkdbench_cdfkd_mfs.architectures import MODELS
from dfkdbench_cdfkd_mfs.models.encoders import MultiLevelEncoder
from dfkdbench_cdfkd_mfs.models.multi_head import MultiHeadNetwork

SPECS = {spec.name: spec for spec in MODELS}
SHAPES = {
    "mh3_resnet18": (3, 10, 32),
    "mh3_resnet18_last": (3, 10, 32),
    "mh3_resnet18_narrow_last": (3, 10, 32),
    "resnet34_narrow": (3, 10, 32),
    "mh3_wrn_16_1": (3, 10, 32),
    "mh3_wrn_16_2": (3, 10, 32),
    "mh3_wrn_40_2": (3, 10, 32),
    "mh3_lenet5_half": (1, 10, 32),
    "mh3_lenet5_1_2_30": (1, 10, 32),
    "lenet5_2_4_60": (1, 10, 32),
}
FEATURES = {
    "mh3_resnet18": 512,
    "mh3_resnet18_last": 512,
    "mh3_resnet18_narrow_last": 128,
    "mh3_wrn_16_1": 64,
    "mh3_wrn_16_2": 128,
    "mh3_wrn_40_2": 128,
    "mh3_resnet_s": 32,
    "mh3_resnet_xs": 16,
    "mh2_resnet_xs": 16,
    "mh3_resnet_xs_last": 16,
    "mh3_lenet5_half": 42,
    "mh3_lenet5_1_2_30": 15,
    "mh3_lenet_xs": 24,
}
SMALL = [name for name in SPECS if name not in ("mh3_resnet18", "mh3_resnet18_last")]


def make(name: str, *shape: int) -> nn.Module:
    return build_network(SPECS[name], *(shape or SHAPES.get(name, (1, 10, 16))))


def size(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_specs__all_are_tested() -> None:
    assert set(FEATURES) == {name for name, spec in SPECS.items() if spec.heads}
    assert set(SHAPES) <= set(SPECS)


@pytest.mark.parametrize(
    ("name", "expected"), [("mh3_resnet18", 2_331_748), ("mh3_wrn_16_1", 44_516), ("mh3_wrn_16_2", 156_004)]
)
def test_multi_level_head__has_the_published_size(name: str, expected: int) -> None:
    network = make(name, 3, 100, 32)
    assert isinstance(network, MultiHeadNetwork)
    assert [size(*head) for head in zip(network.encoders, network.classifiers, strict=True)] == [expected] * 3


def test_multi_level_encoder__each_step_has_the_published_size_and_halves_the_map() -> None:
    encoder = MultiLevelEncoder((64, 128, 256, 512))
    assert [size(step) for step in encoder.steps] == [13_824, 136_704, 535_552, 1_594_368]
    seen = []
    for step in encoder.steps:
        step.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
    stages = [torch.randn(2, width, side, side) for width, side in ((64, 32), (128, 16), (256, 8), (512, 4))]
    assert encoder(stages).shape == (2, 512)
    assert seen == [(128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]


def test_multi_level_encoder__sees_every_stage() -> None:
    encoder = MultiLevelEncoder((4, 8, 16)).eval()
    stages = [torch.randn(2, width, side, side, requires_grad=True) for width, side in ((4, 16), (8, 8), (16, 4))]
    for gradient in torch.autograd.grad(encoder(stages).sum(), stages):
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [("lenet5_2_4_60", 8_456), ("mh3_lenet5_1_2_30", 3_483), ("resnet34_narrow", 1_334_618)],
)
def test_icme_networks__have_the_published_size(name: str, expected: int) -> None:
    assert size(make(name)) == expected


def test_icme_cifar_student__has_about_1_8_million_parameters() -> None:
    assert size(make("mh3_resnet18_narrow_last")) == pytest.approx(1.8e6, rel=0.03)


@pytest.mark.parametrize("name", SMALL)
def test_forward__mean_of_the_heads_and_the_signals_that_are_promised(name: str) -> None:
    spec, network = SPECS[name], make(name).eval()
    channels, classes, side = SHAPES.get(name, (1, 10, 16))
    images = torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0))
    signal = read_signal(network, images, frozenset(SIGNALS))
    torch.testing.assert_close(signal.logits, network(images))
    assert bool(signal.batch_norm) == ("batch_norm" in spec.signals)
    assert signal.stages
    assert len(signal.heads) == spec.heads
    if spec.heads:
        assert all(head.shape == (2, classes) for head in signal.heads)
        torch.testing.assert_close(signal.logits, sum(signal.heads) / spec.heads)
        assert not torch.allclose(signal.heads[0], signal.heads[1])
        assert signal.features is not None
        assert signal.features.shape == (2, spec.heads * FEATURES[name])


@pytest.mark.parametrize("name", SMALL)
def test_training__every_parameter_gets_a_gradient(name: str) -> None:
    network = make(name)
    channels, _, side = SHAPES.get(name, (1, 10, 16))
    network(torch.randn(4, channels, side, side)).square().sum().backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []


def test_features__are_the_inputs_of_the_linear_layers_head_by_head() -> None:
    network = make("mh3_resnet_xs").eval()
    assert isinstance(network, MultiHeadNetwork)
    taps = Taps({"features", "heads"})
    network(torch.randn(2, 1, 16, 16), taps)
    assert taps.features is not None
    for number, (classifier, head) in enumerate(zip(network.classifiers, taps.heads, strict=True)):
        torch.testing.assert_close(classifier(taps.features[:, 16 * number : 16 * (number + 1)]), head)


def test_last_level__heads_share_all_but_the_last_blocks() -> None:
    network = make("mh3_resnet18_narrow_last")
    taps = Taps({"stages"})
    network(torch.randn(2, 3, 32, 32), taps)
    assert [tuple(stage.shape[1:]) for stage in taps.stages] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_imagenet_stem__from_128_pixels_on() -> None:
    network = make("mh3_resnet18", 3, 10, 128).eval()
    taps = Taps({"stages"})
    with torch.no_grad():
        network(torch.randn(1, 3, 128, 128), taps)
    assert [stage.shape[-1] for stage in taps.stages] == [32, 16, 8, 4]


@pytest.mark.parametrize(("name", "side"), [("mh3_resnet_xs", 32), ("mh3_lenet5_half", 28), ("mh3_wrn_16_1", 8)])
def test_factories__refuse_images_of_other_sizes(name: str, side: int) -> None:
    with pytest.raises(ConfigError, match=f"{name} takes images of .*, not {side} x {side}"):
        make(name, 1, 10, side)

"""Every built-in architecture: size, taps, independence of taps, refusals."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.descriptors import SIGNALS, ModelSpec
from dfkdbench.errors import ConfigError
from dfkdbench.models.layers import BatchNorm2d
from dfkdbench.models.resnet import resnet18, resnet50
from dfkdbench.models.specs import MODELS
from dfkdbench.seams import Taps, read_signal

SPECS = {spec.name: spec for spec in MODELS}
ALL_SIGNALS = frozenset(SIGNALS)

PARAMETERS = {
    "lenet_s": 13_962,
    "lenet_xs": 2_242,
    "resnet_s": 19_810,
    "resnet_xs": 5_142,
    "lenet5": 61_706,
    "lenet5_half": 15_738,
    "resnet18": 11_173_962,
    "resnet34": 21_282_122,
    "resnet50": 23_520_842,
    "wrn_40_2": 2_243_546,
    "wrn_40_1": 563_930,
    "wrn_16_2": 691_674,
    "wrn_16_1": 175_066,
    "vgg11": 9_231_114,
}
FEATURES = {
    "lenet_s": 64,
    "lenet_xs": 24,
    "resnet_s": 32,
    "resnet_xs": 16,
    "lenet5": 120,
    "lenet5_half": 60,
    "resnet18": 512,
    "resnet34": 512,
    "resnet50": 2048,
    "wrn_40_2": 128,
    "wrn_40_1": 64,
    "wrn_16_2": 128,
    "wrn_16_1": 64,
    "vgg11": 512,
}
STAGES = {
    "lenet_s": [(16, 12), (32, 4)],
    "lenet_xs": [(6, 12), (12, 4)],
    "resnet_s": [(8, 16), (16, 8), (32, 4)],
    "resnet_xs": [(4, 16), (8, 8), (16, 4)],
    "lenet5": [(6, 28), (16, 10)],
    "lenet5_half": [(3, 28), (8, 10)],
    "resnet18": [(64, 32), (128, 16), (256, 8), (512, 4)],
    "resnet34": [(64, 32), (128, 16), (256, 8), (512, 4)],
    "resnet50": [(256, 32), (512, 16), (1024, 8), (2048, 4)],
    "wrn_40_2": [(32, 32), (64, 16), (128, 8)],
    "wrn_40_1": [(16, 32), (32, 16), (64, 8)],
    "wrn_16_2": [(32, 32), (64, 16), (128, 8)],
    "wrn_16_1": [(16, 32), (32, 16), (64, 8)],
    "vgg11": [(64, 32), (128, 16), (256, 8), (512, 4), (512, 2)],
}
FAMILIES = [
    ("lenet_s", "lenet_xs"),
    ("resnet_s", "resnet_xs"),
    ("lenet5", "lenet5_half"),
    ("resnet34", "resnet18"),
    ("wrn_40_2", "wrn_40_1"),
    ("wrn_40_2", "wrn_16_2"),
    ("wrn_40_2", "wrn_16_1"),
]

every_model = pytest.mark.parametrize("name", [spec.name for spec in MODELS])


def factory(spec: ModelSpec) -> Callable[[int, int, int], nn.Module]:
    module, _, attribute = spec.target.partition(":")
    made: Callable[[int, int, int], nn.Module] = getattr(import_module(module), attribute)
    return made


def native_shape(name: str) -> tuple[int, int]:
    """Channels and image size the table above is for."""
    sizes = SPECS[name].image_sizes
    return (1, sizes[0]) if sizes else (3, 32)


def build(name: str, classes: int = 10) -> nn.Module:
    channels, size = native_shape(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return factory(SPECS[name])(channels, classes, size)


def images_for(name: str, count: int = 4) -> Tensor:
    channels, size = native_shape(name)
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


@every_model
def test_parameters__equal_the_published_count(name: str) -> None:
    assert sum(parameter.numel() for parameter in build(name).parameters()) == PARAMETERS[name]


@every_model
def test_taps__shapes_and_declared_signals(name: str) -> None:
    network = build(name, classes=7).eval()
    signal = read_signal(network, images_for(name), ALL_SIGNALS)
    assert signal.logits.shape == (4, 7)
    assert signal.features is not None
    assert signal.features.shape == (4, FEATURES[name])
    assert [(stage.shape[1], stage.shape[2]) for stage in signal.stages] == STAGES[name]
    assert all(stage.shape[2] == stage.shape[3] for stage in signal.stages)
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(signal.batch_norm) == len(layers)
    assert all(isinstance(layer, BatchNorm2d) for layer in layers)
    assert ("batch_norm" in SPECS[name].signals) == bool(layers)
    assert SPECS[name].signals >= {"features", "stages"}


@every_model
def test_taps__change_neither_logits_nor_buffers(name: str) -> None:
    network = build(name).eval()
    images = images_for(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    plain = network(images)
    tapped = network(images, Taps(ALL_SIGNALS))
    assert torch.equal(plain, tapped)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@every_model
def test_logits__follow_from_the_features(name: str) -> None:
    network = build(name).eval()
    signal = read_signal(network, images_for(name), frozenset({"features"}))
    assert signal.features is not None
    heads = [module for module in network.modules() if isinstance(module, nn.Linear)]
    hidden = signal.features
    for head in heads[:-1]:
        hidden = torch.relu(head(hidden))
    assert torch.equal(signal.logits, heads[-1](hidden))


@pytest.mark.parametrize("name", [name for name in SPECS if "batch_norm" in SPECS[name].signals])
def test_batch_norm_means__of_single_images_average_to_those_of_the_batch(name: str) -> None:
    network = build(name).double().eval()
    signal = read_signal(network, images_for(name).double(), frozenset({"batch_norm", "batch_norm_means"}))
    assert len(signal.batch_norm_means) == len(signal.batch_norm)
    for means, statistics in zip(signal.batch_norm_means, signal.batch_norm, strict=True):
        assert means.shape == (len(images_for(name)), len(statistics.mean))
        torch.testing.assert_close(means.mean(0), statistics.mean)


@pytest.mark.parametrize("name", [name for name in SPECS if "batch_norm" in SPECS[name].signals])
def test_batch_statistics__equal_a_reference_in_order_of_execution(name: str) -> None:
    network = build(name).double().eval()
    generator = torch.Generator().manual_seed(2)
    expected: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def keep(module: nn.BatchNorm2d, arguments: tuple[Tensor, ...]) -> None:
        activation = arguments[0]
        mean = activation.sum((0, 2, 3)) / (activation.numel() / activation.shape[1])
        square = ((activation - mean[None, :, None, None]) ** 2).mean((0, 2, 3))
        assert module.running_mean is not None
        assert module.running_var is not None
        expected.append((mean, square, module.running_mean, module.running_var))

    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.register_forward_pre_hook(keep)
    signal = read_signal(network, images_for(name).double(), frozenset({"batch_norm"}))
    assert len(expected) == len(signal.batch_norm)
    for statistics, reference in zip(signal.batch_norm, expected, strict=True):
        torch.testing.assert_close(statistics.mean, reference[0], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(statistics.variance, reference[1], rtol=1e-9, atol=1e-12)
        assert statistics.running_mean is reference[2]
        assert statistics.running_variance is reference[3]


@pytest.mark.parametrize("name", ["lenet_xs", "resnet_xs", "lenet5_half", "resnet18", "wrn_16_1", "vgg11"])
def test_gradients__reach_every_parameter_and_the_images(name: str) -> None:
    network = build(name).train()
    images = images_for(name).requires_grad_()
    network(images).square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(("teacher", "student"), FAMILIES)
def test_stages__of_a_pair_have_equal_spatial_sizes(teacher: str, student: str) -> None:
    assert [side for _, side in STAGES[teacher]] == [side for _, side in STAGES[student]]
    assert PARAMETERS[teacher] > PARAMETERS[student]


@pytest.mark.parametrize(("size", "side", "stem"), [(64, 64, 3), (128, 32, 7), (224, 56, 7)])
def test_resnet__stem_follows_the_image_size(size: int, side: int, stem: int) -> None:
    network = resnet18(3, 20, size).eval()
    with torch.no_grad():
        signal = read_signal(network, torch.zeros(1, 3, size, size), frozenset({"stages"}))
    assert signal.logits.shape == (1, 20)
    assert signal.stages[0].shape[-1] == side
    assert network.conv1.kernel_size == (stem, stem)


@pytest.mark.parametrize("build", [resnet18, resnet50], ids=lambda build: build.__name__)
def test_resnet__imagenet_form_takes_torchvision_weights(build: Callable[[int, int, int], nn.Module]) -> None:
    reference = getattr(import_module("torchvision.models"), build.__name__)(num_classes=12).eval()
    network = build(3, 12, 128).eval()
    network.load_state_dict(reference.state_dict())
    images = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(network(images), reference(images))


@every_model
@pytest.mark.parametrize(
    ("channels", "classes", "size", "named"),
    [(0, 10, 0, "1 or more channels, not 0"), (1, 1, 0, "2 or more classes, not 1"), (1, 10, 7, "not 7 x 7")],
)
def test_factories__refuse_what_does_not_fit(name: str, channels: int, classes: int, size: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        factory(SPECS[name])(channels, classes, size or native_shape(name)[1])
    assert str(caught.value.message).startswith(name)


def test_check_shape__names_the_sizes_it_takes() -> None:
    with pytest.raises(ConfigError, match=r"lenet5 takes images of 32 x 32 pixels, not 28 x 28\."):
        factory(SPECS["lenet5"])(1, 10, 28)


def test_specs__import_no_torch() -> None:
    code = "import sys, dfkdbench.models.specs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_specs__names_are_the_factories_names() -> None:
    assert len(SPECS) == len(MODELS)
    assert set(SPECS) == set(PARAMETERS)
    assert all(spec.target.endswith(f":{spec.name}") for spec in MODELS)


def test_taps__sums_over_rounded_activations_are_not_rounded() -> None:
    network, statistics = BatchNorm2d(3), Taps({"batch_norm", "batch_norm_means", "features", "heads"})
    inputs = (10 + torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))).bfloat16()
    network(inputs, statistics)
    statistics.tap_features(inputs.flatten(1))
    statistics.tap_heads([inputs.flatten(1)])
    ((mean, variance, _, _),) = statistics.batch_norm
    exact = inputs.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(mean.double(), exact.mean(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(variance.double(), exact.var(1, correction=0), rtol=1e-5, atol=0)
    (means,) = statistics.batch_norm_means
    torch.testing.assert_close(means.double(), inputs.double().mean((2, 3)), rtol=1e-6, atol=0)
    assert statistics.features is not None
    assert {statistics.features.dtype, statistics.heads[0].dtype} == {torch.float32}

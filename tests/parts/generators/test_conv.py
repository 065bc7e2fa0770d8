from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dfkdbench.errors import PlanError
from dfkdbench.parts.generators.conv import ConvGenerator
from dfkdbench.parts.generators.networks import ConvNetwork, fitting_channels
from dfkdbench.parts.generators.upsampling import UpsampledConvolution
from dfkdbench.parts.options import ConvNetworkOptions, ConvOptions
from dfkdbench.precision import autocast
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.seams import Setting
from dfkdbench.shortcuts import SHORTCUTS, use_shortcuts

SMALL = {"latent": 7, "channels": (8, 8, 4), "norm_eps": 0.8}


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("options", "channels", "count"),
    [
        (ConvNetworkOptions(norm_eps=0.8), 1, 1_049_985),
        (ConvNetworkOptions(latent=1000, norm_eps=0.8), 3, 8_423_939),
        (ConvNetworkOptions(latent=256), 3, 2_329_091),
        (ConvNetworkOptions(output_activation="none", output_norm="batch_norm"), 3, 1_051_145),
        (ConvNetworkOptions(latent=512, channels=(512, 256, 128, 64), stem_norm=False, slope=0.0), 3, 5_753_859),
    ],
    ids=["dafl-mnist", "dafl-cifar", "dfad-cifar", "zskt", "dfq"],
)
def test_conv_network__has_the_published_number_of_parameters(
    options: ConvNetworkOptions, channels: int, count: int
) -> None:
    assert parameters(ConvNetwork(options, (channels, 32, 32))) == count


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 32, 32), (2, 12, 20), (3, 64, 64)])
def test_conv_network__makes_images_of_any_shape_divisible_by_four(shape: tuple[int, int, int]) -> None:
    network = ConvNetwork(ConvNetworkOptions.model_validate(SMALL), shape)
    assert network(torch.randn(3, 7)).shape == (3, *shape)


@pytest.mark.parametrize(
    ("channels", "side", "expected"),
    [
        ((128, 128, 64), 32, (128, 128, 64)),
        ((128, 128, 64), 64, (128, 128, 64)),
        ((128, 128, 64), 84, (128, 128, 64)),  # 21 can't be halved
        ((128, 128, 64), 128, (128, 128, 64, 32)),
        ((128, 128, 64), 224, (128, 128, 64, 32, 16)),
        ((8, 8, 4), 224, (8, 8, 4, 4, 4)),
        ((256, 128, 64, 32, 32, 16), 224, (256, 128, 64, 32, 32, 16)),
    ],
)
def test_fitting_channels__bound_the_first_maps(channels: Any, side: int, expected: tuple[int, ...]) -> None:
    assert fitting_channels(ConvNetworkOptions(channels=channels), side, side) == expected


def test_fitting_channels__are_those_given_where_larger_maps_may_be() -> None:
    options = ConvNetworkOptions(channels=(8, 8, 4), first_maps=56)
    assert fitting_channels(options, 224, 224) == (8, 8, 4)
    assert options.model_dump()["first_maps"] == 56
    assert "first_maps" not in ConvNetworkOptions(channels=(8, 8, 4)).model_dump()


@torch.no_grad()
def test_conv_network__makes_images_of_224_pixels_from_14() -> None:
    network = ConvNetwork(ConvNetworkOptions(channels=(8, 8, 4)), (3, 224, 224))
    assert network.first_shape == (8, 14, 14)
    assert network(torch.zeros(2, 100)).shape == (2, 3, 224, 224)


@pytest.mark.parametrize(("channels", "first"), [((8, 4), (8, 16, 16)), ((8, 8, 8, 4), (8, 4, 4))])
def test_conv_network__upsamples_once_per_convolution_but_the_last(channels: Any, first: tuple[int, ...]) -> None:
    network = ConvNetwork(ConvNetworkOptions(latent=7, channels=channels), (3, 32, 32))
    assert network.first_shape == first
    assert network(torch.randn(3, 7)).shape == (3, 3, 32, 32)


def test_conv_network__without_stem_norm_maps_of_the_linear_layer_stay_as_they_are() -> None:
    network = ConvNetwork(ConvNetworkOptions(latent=7, channels=(8, 8, 4), stem_norm=False), (1, 8, 8))
    maps = torch.randn(3, 8, 2, 2)
    assert torch.equal(network.layers[0](maps), maps)


def test_conv_network__refuses_sizes_that_a_longer_chain_does_not_reach() -> None:
    with pytest.raises(PlanError, match=r"12x12.*with 3 upsamplings, sides must be divisible by 8"):
        ConvNetwork(ConvNetworkOptions(channels=(8, 8, 8, 4)), (1, 12, 12))


def test_conv_network__refuses_other_sizes() -> None:
    with pytest.raises(PlanError, match=r"30x30.*divisible by 4.*dfkdbench list generators"):
        ConvNetwork(ConvNetworkOptions(), (1, 30, 30))


def test_conv_network__output_is_standardised_after_the_activation() -> None:
    network = ConvNetwork(ConvNetworkOptions(norm_eps=0.8), (3, 32, 32))
    inner: list[Tensor] = []
    network.layers[-2].register_forward_hook(lambda module, inputs, output: inner.append(output.detach()))
    images = network(torch.randn(64, 100)).detach()
    before = inner[0].double()
    assert before.abs().max() < 1
    variance = before.var(dim=(0, 2, 3), correction=0)
    assert images.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(
        images.double().var(dim=(0, 2, 3), correction=0), variance / (variance + 1e-5), rtol=1e-4, atol=0
    )


def test_conv_network__norm_eps_is_that_of_the_inner_norms_only() -> None:
    network = ConvNetwork(ConvNetworkOptions(norm_eps=0.8), (1, 32, 32))
    norms = [layer.eps for layer in network.layers if isinstance(layer, torch.nn.BatchNorm2d)]
    assert norms == [1e-5, 0.8, 0.8, 1e-5]


@pytest.mark.parametrize(("activation", "low", "high"), [("tanh", -1, 1), ("sigmoid", 0, 1), ("none", -1e6, 1e6)])
def test_conv_network__without_output_norm_the_activation_comes_last(activation: Any, low: float, high: float) -> None:
    options = ConvNetworkOptions(output_activation=activation, output_norm="none", channels=(8, 8, 4))
    network = ConvNetwork(options, (1, 8, 8))
    torch.nn.init.normal_(list(network.parameters())[-2], std=100.0)
    images = network(torch.randn(16, 100)).detach()
    assert low <= images.min()
    assert images.max() <= high
    assert (images.abs().max() > 1) == (activation == "none")


def test_conv_network__spectral_norm_bounds_the_convolutions() -> None:
    torch.manual_seed(0)
    network = ConvNetwork(ConvNetworkOptions(channels=(8, 8, 4), spectral_norm=True), (1, 8, 8))
    for _ in range(30):
        network(torch.randn(4, 100))
    convolutions = [layer for layer in network.layers if isinstance(layer, torch.nn.Conv2d)]
    largest = [torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2).item() for layer in convolutions]
    assert largest == pytest.approx([1.0, 1.0, 1.0], rel=1e-2)


@pytest.fixture
def make(make_setting: Callable[..., Setting]) -> Callable[..., ConvGenerator]:
    def build(seed: int = 0, **changes: Any) -> ConvGenerator:
        values = SMALL | {"optimizer": OptimizerOptions(lr=0.01)} | changes
        return ConvGenerator(ConvOptions.model_validate(values), make_setting(seed))

    return build


def distance_to_ramp(images: Tensor, labels: Tensor | None = None) -> Tensor:
    return (images - torch.linspace(-1.7, 1.7, 16)).square().mean()


def test_fit__lowers_the_objective(make: Callable[..., ConvGenerator]) -> None:
    generator = make()
    seen: list[float] = []

    def objective(images: Tensor) -> Tensor:
        loss = distance_to_ramp(images)
        seen.append(loss.item())
        return loss

    generator.fit(objective, 40)
    assert len(seen) == 40
    assert seen[-1] < 0.6 * seen[0]


def test_fit__takes_the_gradient_step_of_its_objective(make: Callable[..., ConvGenerator]) -> None:
    options = OptimizerOptions(kind="sgd", lr=0.5, momentum=0.0)
    generator = make(optimizer=options)
    twin = copy.deepcopy(generator.network)
    latents: list[Tensor] = []
    generator.network.project.register_forward_hook(lambda module, inputs, output: latents.append(inputs[0]))
    generator.fit(distance_to_ramp, 1)
    gradients = torch.autograd.grad(distance_to_ramp(twin(latents[0])), list(twin.parameters()))
    for trained, start, gradient in zip(generator.network.parameters(), twin.parameters(), gradients, strict=True):
        torch.testing.assert_close(trained, start - 0.5 * gradient)


def test_fit__always_runs_in_train_mode_and_keeps_the_mode_of_sample(make: Callable[..., ConvGenerator]) -> None:
    generator = make()
    generator.train(False)
    generator.fit(lambda images: images.mean(dim=(0, 2, 3)).abs().sum() + distance_to_ramp(images), 1)
    assert generator.network.training
    generator.sample(4)
    assert not generator.network.training


def test_sample__eval_mode_leaves_batch_norm_buffers_alone(make: Callable[..., ConvGenerator]) -> None:
    generator = make()
    generator.fit(distance_to_ramp, 3)
    generator.train(False)
    before = {name: buffer.clone() for name, buffer in generator.network.named_buffers()}
    generator.sample(8)
    assert all(torch.equal(buffer, before[name]) for name, buffer in generator.network.named_buffers())
    generator.train(True)
    generator.sample(8)
    assert any(not torch.equal(buffer, before[name]) for name, buffer in generator.network.named_buffers())


def test_sample__is_fresh_without_gradient_and_of_the_asked_size(make: Callable[..., ConvGenerator]) -> None:
    generator = make()
    first, second = generator.sample(5), generator.sample(5)
    assert first.images.shape == (5, 1, 16, 16)
    assert not first.images.requires_grad
    assert first.labels is None
    assert not torch.equal(first.images, second.images)


def test_conv__depends_on_its_roles_alone(make: Callable[..., ConvGenerator]) -> None:
    before = torch.random.get_rng_state()
    first = make()
    first.fit(distance_to_ramp, 1)
    images = first.sample(4).images
    assert torch.equal(before, torch.random.get_rng_state())
    torch.rand(3)
    again = make()
    again.fit(distance_to_ramp, 1)
    assert torch.equal(images, again.sample(4).images)
    assert not torch.equal(images, make(seed=1).sample(4).images)


def test_conv__halves_of_a_batch_are_independent(make: Callable[..., ConvGenerator]) -> None:
    generator = make(latent=2000)
    drawn: list[Tensor] = []
    generator.network.project.register_forward_hook(lambda module, inputs, output: drawn.append(inputs[0]))
    generator.sample(8)
    correlation = torch.corrcoef(drawn[0]).fill_diagonal_(0)
    assert correlation.abs().max() < 0.1


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_conv__resumes_bitwise(make: Callable[..., ConvGenerator], spectral_norm: bool) -> None:
    optimizer = OptimizerOptions(lr=0.01, schedule="cosine")
    generator = make(spectral_norm=spectral_norm, optimizer=optimizer)
    generator.fit(distance_to_ramp, 3)
    saved = copy.deepcopy(generator.state_dict())
    generator.fit(distance_to_ramp, 3)
    expected = generator.sample(4).images

    resumed = make(seed=5, spectral_norm=spectral_norm, optimizer=optimizer)
    resumed.load_state_dict(saved)
    resumed.fit(distance_to_ramp, 3)
    assert torch.equal(expected, resumed.sample(4).images)


def test_conv__reads_nothing_on_the_host(
    make: Callable[..., ConvGenerator], host_reads_forbidden: TorchDispatchMode
) -> None:
    generator = make()
    with host_reads_forbidden:
        generator.fit(distance_to_ramp, 2)
        generator.sample(4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (4, 7), (8, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_upsampled_convolution__equals_upsampling_then_convolution_in_value_and_gradient(
    height: int, width: int, bias: bool
) -> None:
    fast = UpsampledConvolution(3, 5, bias).double()
    plain = torch.nn.Sequential(torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(3, 5, 3, padding=1, bias=bias))
    plain = plain.double()
    plain[1].load_state_dict(fast.state_dict())
    maps = torch.randn(2, 3, height, width, dtype=torch.float64)
    probe = torch.randn(2, 5, 2 * height, 2 * width, dtype=torch.float64)
    results = []
    for layers in (fast, plain):
        inputs = maps.clone().requires_grad_()
        output = layers(inputs)
        results.append([output, *torch.autograd.grad((output * probe).sum(), [inputs, *layers.parameters()])])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_upsampled_convolution__gradient_of_its_bias_is_a_sum_in_float32(precision: str) -> None:
    torch.manual_seed(0)
    layer = UpsampledConvolution(4, 6)
    maps = torch.randn(8, 4, 5, 5).to(memory_format=torch.channels_last)
    with autocast(precision, torch.device("cpu")):
        output = layer(maps)
    probe = torch.randn(output.shape, dtype=output.dtype)
    output.backward(probe)
    assert output.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    torch.testing.assert_close(layer.bias.grad, probe.double().sum((0, 2, 3)).float(), rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("shortcuts")
def test_upsampled_convolution__without_the_shortcut_leaves_its_bias_to_the_framework() -> None:
    gradients = []
    for taken in (SHORTCUTS, set(SHORTCUTS) - {"summed-biases"}):
        use_shortcuts(taken)
        torch.manual_seed(0)
        layer = UpsampledConvolution(3, 5)
        output = layer(torch.randn(2, 3, 4, 4))
        assert ("BiasAdded" in type(output.grad_fn).__name__) == ("summed-biases" in taken)
        output.square().sum().backward()
        gradients.append([parameter.grad for parameter in layer.parameters()])
    torch.testing.assert_close(*gradients)


def test_upsampled_convolution__starts_from_the_weights_of_the_convolution_it_stands_for() -> None:
    torch.manual_seed(3)
    ours = UpsampledConvolution(4, 6)
    torch.manual_seed(3)
    expected = torch.nn.Conv2d(4, 6, 3, padding=1)
    assert list(ours.state_dict()) == list(expected.state_dict())
    assert torch.equal(ours.weight, expected.weight)


def test_upsampled_convolution__keeps_its_mathematics_under_spectral_norm() -> None:
    torch.manual_seed(0)
    ours = torch.nn.utils.parametrizations.spectral_norm(UpsampledConvolution(3, 4)).eval()
    maps = torch.randn(2, 3, 4, 4)
    upsampled = torch.nn.functional.interpolate(maps, scale_factor=2.0)
    expected = torch.nn.functional.conv2d(upsampled, ours.weight, ours.bias, padding=1)
    torch.testing.assert_close(ours(maps), expected, rtol=1e-5, atol=1e-6)

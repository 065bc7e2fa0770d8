"""Products without padding give what convolutions give, and leave alone what they would not fit."""

from __future__ import annotations

import copy
import itertools
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dfkdbench import unpadding
from dfkdbench.bench import Request
from dfkdbench.convolutions import rewrite_convolutions
from dfkdbench.folding import fold_batch_norms
from dfkdbench.models import resnet
from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.registry import load_registry
from dfkdbench.shortcuts import SHORTCUTS, use_shortcuts
from dfkdbench.timing.measure import packed_products
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly
from dfkdbench.unpadding import UnpaddedConvolution, skip_padding

pytestmark = pytest.mark.usefixtures("shortcuts")

WIDE = unpadding.NARROWEST

needs_products = pytest.mark.skipif(not unpadding._has_products(), reason="no products in bf16 here")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any convolution is wide enough, on any machine."""
    monkeypatch.setattr(unpadding, "NARROWEST", 1)
    monkeypatch.setattr(unpadding, "_has_products", lambda: True)


def convolution(inputs: int, outputs: int, stride: int = 1, bias: bool = True, seed: int = 0) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)


def unpadded(plain: nn.Conv2d) -> UnpaddedConvolution:
    """A copy without products with padding."""
    layer = rewrite_convolutions(nn.Sequential(copy.deepcopy(plain)), UnpaddedConvolution, lambda _: True)[0]
    assert isinstance(layer, UnpaddedConvolution)
    return layer


def probed(layer: nn.Module, maps: Tensor) -> list[Tensor]:
    """What a layer makes of maps, and the gradients of a sum of it by them and by what learns of the layer."""
    maps = maps.detach().clone().requires_grad_()
    made = layer(maps)
    weights = torch.randn(made.shape, dtype=torch.float32, generator=torch.Generator().manual_seed(1))
    learning = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    return [made, *torch.autograd.grad((made * weights.to(made.dtype)).sum(), [maps, *learning])]


def is_unpadded(made: Tensor) -> bool:
    return "Unpadded" in type(made.grad_fn).__name__


def autocast() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_unpadded__equals_the_convolution_in_value_and_gradients(
    stride: int, learns: bool, bias: bool, layout: torch.memory_format
) -> None:
    plain = convolution(3, 5, stride, bias).requires_grad_(learns)
    ours = unpadded(plain)
    for sides in itertools.product(range(1, unpadding.LARGEST * stride + 1), repeat=2):
        maps = torch.randn(2, 3, *sides).to(memory_format=layout)
        made = probed(ours, maps)
        assert is_unpadded(made[0])
        torch.testing.assert_close(made, probed(plain, maps), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("learns", [True, False])
def test_unpadded__gradients_have_gradients(stride: int, learns: bool) -> None:
    layer = unpadded(convolution(2, 3, stride).requires_grad_(learns))
    maps = torch.randn(2, 2, 4, 3, requires_grad=True)

    def convolve(maps: Tensor, *parameters: Tensor) -> Tensor:
        return unpadding._Unpadded.apply(maps, *(parameters or (layer.weight, layer.bias)), None, stride)

    given = (maps, *(layer.parameters() if learns else ()))
    assert torch.autograd.gradcheck(convolve, given)
    assert torch.autograd.gradgradcheck(convolve, given)


@needs_products
@pytest.mark.parametrize("side", [1, 2, 4, 6])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("learns", [True, False])
def test_unpadded__in_bf16_is_as_close_to_exact_as_the_framework(side: int, stride: int, learns: bool) -> None:
    plain = convolution(WIDE, WIDE, stride).requires_grad_(learns).to(memory_format=torch.channels_last)
    maps = torch.randn(16, WIDE, stride * side, stride * side).to(memory_format=torch.channels_last)
    with autocast():
        ours, theirs = probed(unpadded(plain), maps), probed(plain, maps)
    assert is_unpadded(ours[0])
    exact = probed(copy.deepcopy(plain).to(torch.bfloat16).double(), maps.bfloat16().double())
    for one, other, true in zip(ours, theirs, exact, strict=True):
        assert one.dtype == other.dtype
        assert one.stride() == other.stride() or 1 in one.shape
        assert (one - true).norm() <= 1.01 * (other - true).norm() + 1e-4 * true.norm()


@needs_products
def test_unpadded__maps_of_another_type_are_refused_as_by_the_framework() -> None:
    plain = convolution(4, 4)
    for layer in (plain, unpadded(plain)):
        for dtype in (torch.bfloat16, torch.float64):
            with pytest.raises(RuntimeError, match="should be the same"):
                layer(torch.randn(2, 4, 4, 4).to(dtype))


@needs_products
def test_unpadded__large_maps_and_float32_are_left_to_the_framework() -> None:
    plain = convolution(4, 4)
    layer, side = unpadded(plain), unpadding.LARGEST
    large, small = torch.randn(2, 4, side + 1, side), torch.randn(2, 4, side, side)
    assert torch.equal(layer(small), plain(small))
    assert torch.equal(layer(small[0]), plain(small[0]))
    with autocast():
        assert torch.equal(layer(large), plain(large))
        assert not is_unpadded(layer(large))
        assert is_unpadded(layer(small))


@pytest.mark.usefixtures("double")
def test_unpadded__transforms_of_the_framework_see_its_own_convolution() -> None:
    plain, maps = convolution(2, 3), torch.randn(4, 5, 2, 4, 4)
    layer = unpadded(plain)
    torch.testing.assert_close(torch.func.vmap(layer)(maps), torch.func.vmap(plain)(maps))
    summed = [torch.func.grad(lambda given, net=net: net(given).square().sum())(maps[0]) for net in (layer, plain)]
    torch.testing.assert_close(*summed)


@needs_products
def test_unpadded__is_copied_converted_and_loaded_as_any_module() -> None:
    maps, other = torch.randn(2, 4, 4, 4), convolution(4, 4, seed=1).requires_grad_(False)
    layer = unpadded(convolution(4, 4).requires_grad_(False))
    with autocast():
        made = layer(maps)
        assert layer._kept
        assert torch.equal(copy.deepcopy(layer)(maps), made)
        assert torch.equal(layer(maps[:, :, :2]), copy.deepcopy(layer)(maps[:, :, :2]))
        assert torch.equal(layer(maps), made)
        layer.bfloat16()
        assert torch.equal(layer(maps), made)
        layer.float().load_state_dict(other.state_dict())
        torch.testing.assert_close(layer(maps), other(maps))
        layer.load_state_dict(convolution(4, 4).state_dict())
        assert torch.equal(layer(maps), made)


@needs_products
@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_unpadded__weights_that_are_frozen_for_a_while_are_read_anew(kind: Literal["sgd", "adam", "adamw"]) -> None:
    layer = unpadded(convolution(4, 4))
    stepper = build_optimizer(OptimizerOptions(kind=kind, lr=0.1), layer.parameters(), 10)
    maps = torch.randn(2, 4, 4, 4)
    seen = []
    with autocast():
        for _ in range(3):
            layer.requires_grad_(False)
            seen.append(layer(maps))
            assert torch.equal(seen[-1], unpadded(layer_as_plain(layer))(maps))
            layer.requires_grad_(True)
            layer(maps).float().square().sum().backward()
            stepper.step()
    assert not torch.equal(seen[0], seen[1])
    assert not layer._kept


def layer_as_plain(layer: nn.Conv2d) -> nn.Conv2d:
    plain = convolution(layer.in_channels, layer.out_channels).requires_grad_(False)
    plain.load_state_dict(layer.state_dict())
    return plain


@needs_products
def test_unpadded__tensors_in_the_place_of_weights_have_kernels_of_their_own() -> None:
    layer, maps = unpadded(convolution(4, 4).requires_grad_(False)), torch.randn(2, 4, 4, 4)
    with autocast():
        for seed in range(8):  # tensors that come and go have each other's address
            other = convolution(4, 4, seed=seed).requires_grad_(False)
            given = {name: value.clone() for name, value in other.state_dict().items()}
            made = torch.func.functional_call(layer, given, maps)
            torch.testing.assert_close(made, other(maps))


@needs_products
def test_unpadded__its_products_are_counted() -> None:
    maps = torch.randn(16, WIDE, 4, 4)
    for learns in (True, False):
        layer = unpadded(convolution(WIDE, WIDE).requires_grad_(learns))
        with autocast():
            layer(maps)
            with FlopCounterMode(display=False, custom_mapping=packed_products()) as counter:
                layer(maps)
        assert counter.get_total_flops() == 2 * 16 * (10 * 10) * WIDE**2


@pytest.mark.usefixtures("narrow")
def test_skip_padding__takes_wide_3_x_3_convolutions_of_stride_1_and_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpadding, "NARROWEST", 8)

    def build() -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1),
            nn.Conv2d(8, 16, 3, padding=1, stride=2, bias=False),
            nn.Conv2d(8, 8, 3, padding=1, stride=3),
            nn.Conv2d(8, 8, 3, padding=1, stride=(1, 2)),
            nn.Conv2d(8, 8, 3),
            nn.Conv2d(8, 8, 1),
            nn.Conv2d(8, 8, 3, padding=1, groups=2),
            nn.Conv2d(8, 7, 3, padding=1),
            nn.utils.spectral_norm(nn.Conv2d(8, 8, 3, padding=1)),
            nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 3, padding=1)),
        )

    network, made = build().eval(), []
    network[0].register_forward_hook(lambda *_: made.append(1))
    kept = dict(network.named_parameters())
    assert skip_padding(network, "bf16") is network
    network[0](torch.randn(1, 8, 7, 7))
    assert not any(module.training for module in network.modules())
    assert made == [1]
    replaced = {name: module for name, module in network.named_modules() if isinstance(module, UnpaddedConvolution)}
    assert {name: module.stride for name, module in replaced.items()} == {"0": (1, 1), "1": (2, 2)}
    assert list(kept) == [name for name, _ in network.named_parameters()]
    assert all(parameter is kept[name] for name, parameter in network.named_parameters())
    assert not any(isinstance(module, UnpaddedConvolution) for module in skip_padding(build(), "fp32").modules())
    use_shortcuts(set(SHORTCUTS) - {"unpadded-products"})
    assert not any(isinstance(module, UnpaddedConvolution) for module in skip_padding(build(), "bf16").modules())
    use_shortcuts(SHORTCUTS)
    monkeypatch.setattr(unpadding, "_has_products", lambda: False)
    assert not any(isinstance(module, UnpaddedConvolution) for module in skip_padding(build(), "bf16").modules())


@needs_products
@pytest.mark.parametrize("folds", [True, False])
def test_skip_padding__a_teacher_gives_nearly_the_same_logits_and_gradients(folds: bool) -> None:
    torch.manual_seed(0)
    network = resnet.resnet18(3, 10, 32).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    images = torch.randn(8, 3, 32, 32)
    plain = fold_batch_norms(copy.deepcopy(network), (3, 32, 32), "bf16") if folds else network
    ours = skip_padding(copy.deepcopy(plain), "bf16")
    assert sum(isinstance(module, UnpaddedConvolution) for module in ours.modules()) == (1 + folds) * 7
    with autocast():
        theirs, made = probed(plain, images), probed(ours, images)
    exact = probed(copy.deepcopy(network).double(), images.double())
    for one, other, true in zip(made, theirs, exact, strict=True):
        assert (one - true).norm() <= 1.2 * (other - true).norm()


@pytest.mark.usefixtures("double", "narrow")
@pytest.mark.parametrize("plugin", ["dafl", "deepinversion", "dfad", "zskt"])
def test_trajectory__is_that_without(plugin: str) -> None:
    students = []
    whole = set(SHORTCUTS) - {"folded-batch-norms"}  # the folded copy has weights of bf16
    for taken in (whole, whole - {"unpadded-products"}):
        use_shortcuts(taken)
        pair, settings = "resnet_s:resnet_xs", ("batch_size=8", 'precision="bf16"')
        request = Request(plugin, "digits", pair, budget="smoke", device="cpu", settings=settings)
        with untrained_assembly(plan_untrained(load_registry(), request)) as assembly:
            for network in (assembly.teacher_networks[0], assembly.student):
                used = any(isinstance(each, UnpaddedConvolution) for each in network.modules())
                assert used == ("unpadded-products" in taken)
            before = {name: value.clone() for name, value in assembly.student.state_dict().items()}
            for _ in range(3):
                assembly.loop.advance()
            assert any(not torch.equal(value, before[name]) for name, value in assembly.student.state_dict().items())
            students.append({name: value.clone() for name, value in assembly.student.state_dict().items()})
    for name, value in students[0].items():
        torch.testing.assert_close(value, students[1][name], rtol=1e-6, atol=1e-6)

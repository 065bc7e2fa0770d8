"""Products without padding give what convolutions give, and leave alone what they would not fit."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dfkdbench import unpadding
from dfkdbench.bench import Request
from dfkdbench.folding import fold_batch_norms
from dfkdbench.models import resnet
from dfkdbench.registry import load_registry
from dfkdbench.shortcuts import SHORTCUTS, use_shortcuts
from dfkdbench.timing.measure import packed_products
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly
from dfkdbench.unpadding import UnpaddedConvolution, skip_padding

pytestmark = pytest.mark.usefixtures("shortcuts")

WIDE = unpadding.NARROWEST

needs_fast_products = pytest.mark.skipif(not unpadding._has_fast_products(), reason="no products in bf16 here")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any convolution is wide enough, on any machine."""
    monkeypatch.setattr(unpadding, "NARROWEST", 1)
    monkeypatch.setattr(unpadding, "_has_fast_products", lambda: True)


def convolution(inputs: int, outputs: int, stride: int = 1, bias: bool = True, seed: int = 0) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)


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
    ours = UnpaddedConvolution(plain)
    for sides in itertools.product(range(1, unpadding.LARGEST * stride + 1), repeat=2):
        maps = torch.randn(2, 3, *sides).to(memory_format=layout)
        made = probed(ours, maps)
        assert is_unpadded(made[0])
        torch.testing.assert_close(made, probed(plain, maps), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("learns", [True, False])
def test_unpadded__gradients_have_gradients(stride: int, learns: bool) -> None:
    layer = UnpaddedConvolution(convolution(2, 3, stride).requires_grad_(learns))
    maps = torch.randn(2, 2, 4, 3, requires_grad=True)

    def convolve(maps: Tensor, *parameters: Tensor) -> Tensor:
        return unpadding._Unpadded.apply(maps, *(parameters or (layer.weight, layer.bias)), None, stride)

    given = (maps, *(layer.parameters() if learns else ()))
    assert torch.autograd.gradcheck(convolve, given)
    assert torch.autograd.gradgradcheck(convolve, given)


@needs_fast_products
@pytest.mark.parametrize("side", [1, 2, 4, 6])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("learns", [True, False])
def test_unpadded__in_bf16_is_as_close_to_exact_as_the_framework(side: int, stride: int, learns: bool) -> None:
    plain = convolution(WIDE, WIDE, stride).requires_grad_(learns).to(memory_format=torch.channels_last)
    maps = torch.randn(16, WIDE, stride * side, stride * side).to(memory_format=torch.channels_last)
    with autocast():
        ours, theirs = probed(UnpaddedConvolution(plain), maps), probed(plain, maps)
    assert is_unpadded(ours[0])
    exact = probed(copy.deepcopy(plain).to(torch.bfloat16).double(), maps.bfloat16().double())
    for one, other, true in zip(ours, theirs, exact, strict=True):
        assert one.dtype == other.dtype
        assert one.stride() == other.stride() or 1 in one.shape
        assert (one - true).norm() <= 1.01 * (other - true).norm() + 1e-4 * true.norm()


@needs_fast_products
def test_unpadded__large_maps_and_float32_are_left_to_the_framework() -> None:
    plain = convolution(4, 4)
    layer, side = UnpaddedConvolution(plain), unpadding.LARGEST
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
    layer = UnpaddedConvolution(plain)
    torch.testing.assert_close(torch.func.vmap(layer)(maps), torch.func.vmap(plain)(maps))
    summed = [torch.func.grad(lambda given, net=net: net(given).square().sum())(maps[0]) for net in (layer, plain)]
    torch.testing.assert_close(*summed)


@pytest.mark.usefixtures("double")
def test_unpadded__where_the_framework_lays_out_no_matrices_it_cuts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> Tensor:
        raise RuntimeError("no kernel for this device")

    monkeypatch.setattr(unpadding, "pack", refuse)
    plain, maps = convolution(4, 4).requires_grad_(False), torch.randn(2, 4, 4, 4)
    layer = UnpaddedConvolution(plain)
    made = probed(layer, maps)
    assert is_unpadded(made[0])
    assert layer._kernels is None
    torch.testing.assert_close(made, probed(plain, maps))


@needs_fast_products
def test_unpadded__is_copied_converted_and_loaded_as_any_module() -> None:
    maps, other = torch.randn(2, 4, 4, 4), convolution(4, 4, seed=1).requires_grad_(False)
    layer = UnpaddedConvolution(convolution(4, 4).requires_grad_(False))
    with autocast():
        made = layer(maps)
        assert layer._kernels is not None
        assert torch.equal(copy.deepcopy(layer)(maps), made)
        assert torch.equal(layer(maps[:, :, :2]), copy.deepcopy(layer)(maps[:, :, :2]))
        assert torch.equal(layer(maps), made)
        torch.testing.assert_close(layer(maps.double()).float(), made.float(), rtol=0.02, atol=0.02)
        layer.bfloat16()
        assert torch.equal(layer(maps), made)
        layer.float().load_state_dict(other.state_dict())
        torch.testing.assert_close(layer(maps), other(maps))


@needs_fast_products
def test_unpadded__its_products_are_counted() -> None:
    maps = torch.randn(16, WIDE, 4, 4)
    for learns in (True, False):
        layer = UnpaddedConvolution(convolution(WIDE, WIDE).requires_grad_(learns))
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
        )

    network = build()
    kept = dict(network.named_parameters())
    assert skip_padding(network) is network
    replaced = {name: module for name, module in network.named_modules() if isinstance(module, UnpaddedConvolution)}
    assert {name: module.stride for name, module in replaced.items()} == {"0": (1, 1), "1": (2, 2)}
    assert list(kept) == [name for name, _ in network.named_parameters()]
    assert all(parameter is kept[name] for name, parameter in network.named_parameters())
    use_shortcuts(set(SHORTCUTS) - {"unpadded-products"})
    assert not any(isinstance(module, UnpaddedConvolution) for module in skip_padding(build()).modules())
    use_shortcuts(SHORTCUTS)
    monkeypatch.setattr(unpadding, "_has_fast_products", lambda: False)
    assert not any(isinstance(module, UnpaddedConvolution) for module in skip_padding(build()).modules())


@needs_fast_products
@pytest.mark.parametrize("folds", [True, False])
def test_skip_padding__a_teacher_gives_nearly_the_same_logits_and_gradients(folds: bool) -> None:
    torch.manual_seed(0)
    network = resnet.resnet18(3, 10, 32).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    images = torch.randn(8, 3, 32, 32)
    plain = fold_batch_norms(copy.deepcopy(network), (3, 32, 32), "bf16") if folds else network
    ours = skip_padding(copy.deepcopy(plain))
    assert sum(isinstance(module, UnpaddedConvolution) for module in ours.modules()) == (1 + folds) * 7
    with autocast():
        theirs, made = probed(plain, images), probed(ours, images)
    exact = probed(copy.deepcopy(network).double(), images.double())
    for one, other, true in zip(made, theirs, exact, strict=True):
        assert (one - true).norm() <= 1.2 * (other - true).norm()


@pytest.mark.usefixtures("double", "narrow")
@pytest.mark.parametrize("plugin", ["dafl", "deepinversion", "fast"])
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
            for _ in range(3):
                assembly.loop.advance()
            students.append({name: value.clone() for name, value in assembly.student.state_dict().items()})
    for name, value in students[0].items():
        torch.testing.assert_close(value, students[1][name], rtol=1e-6, atol=1e-6)

"""Minimal filtering gives what convolutions give, and leaves alone what it would not fit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from dfkdbench import convolutions, filtering
from dfkdbench.bench import Request
from dfkdbench.convolutions import can_pack, rewrite_convolutions
from dfkdbench.filtering import FilteredConvolution, filter_minimally
from dfkdbench.folding import fold_batch_norms
from dfkdbench.models import resnet
from dfkdbench.registry import load_registry
from dfkdbench.shortcuts import SHORTCUTS, use_shortcuts
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly

pytestmark = pytest.mark.usefixtures("shortcuts")

WIDE = filtering.NARROWEST


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any convolution is wide enough, and any maps have patches enough."""
    monkeypatch.setattr(filtering, "NARROWEST", 1)
    monkeypatch.setattr(filtering, "FEWEST_PATCHES", 1)


def frozen(inputs: int, outputs: int, bias: bool = True, seed: int = 0) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias).requires_grad_(False)


def filtered(convolution: nn.Conv2d) -> FilteredConvolution:
    """A copy by minimal filtering."""
    network = nn.Sequential(copy.deepcopy(convolution))
    layer = rewrite_convolutions(network, FilteredConvolution, lambda _: True)[0]
    assert isinstance(layer, FilteredConvolution)
    return layer


def probed(layer: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer makes of maps, and the gradient of a sum of it by them."""
    maps = maps.detach().clone().requires_grad_()
    made = layer(maps)
    weights = torch.randn(made.shape, dtype=torch.float32, generator=torch.Generator().manual_seed(1))
    return made, torch.autograd.grad((made * weights.to(made.dtype)).sum(), maps)[0]


def is_filtered(made: Tensor) -> bool:
    return "Filtered" in type(made.grad_fn).__name__


@pytest.mark.usefixtures("double", "narrow")
@pytest.mark.parametrize("sides", [(2, 2), (4, 4), (2, 6), (8, 4)])
@pytest.mark.parametrize("channels", [(3, 5), (4, 4)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_filtered__equals_the_convolution_in_value_and_gradient(
    sides: tuple[int, int], channels: tuple[int, int], bias: bool, layout: torch.memory_format
) -> None:
    convolution = frozen(*channels, bias)
    maps = torch.randn(3, channels[0], *sides).to(memory_format=layout)
    ours = probed(filtered(convolution), maps)
    assert is_filtered(ours[0])
    torch.testing.assert_close(ours, probed(convolution, maps), rtol=0, atol=1e-13)


@pytest.mark.usefixtures("double", "narrow")
def test_filtered__gradients_have_gradients() -> None:
    torch.manual_seed(0)
    layer = filtered(frozen(2, 3))
    maps = torch.randn(2, 2, 4, 4, requires_grad=True)
    assert torch.autograd.gradcheck(layer, maps)
    assert torch.autograd.gradgradcheck(layer, maps)


@pytest.mark.parametrize("side", [2, 4, 8])
def test_filtered__in_float32_is_as_close_as_rounding(side: int) -> None:
    convolution = frozen(WIDE, WIDE)
    maps = torch.randn(16, WIDE, side, side).to(memory_format=torch.channels_last)
    ours = probed(filtered(convolution), maps)
    assert is_filtered(ours[0]) == (16 * side**2 >= 4 * filtering.FEWEST_PATCHES)
    exact = probed(copy.deepcopy(convolution).double(), maps.double())
    for one, other in zip(ours, exact, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()
        assert one.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("shape", [(2, 4, 3, 4), (2, 4, 4, 5), (1, 4, 1, 1)])
def test_filtered__odd_sides_are_left_to_the_framework(shape: tuple[int, ...]) -> None:
    convolution, maps = frozen(4, 4), torch.randn(shape)
    made, gradient = probed(filtered(convolution), maps)
    assert not is_filtered(made)
    torch.testing.assert_close((made, gradient), probed(convolution, maps), rtol=0, atol=0)


@pytest.mark.usefixtures("narrow")
def test_filtered__autocast_and_weights_that_learn_are_left_to_the_framework() -> None:
    convolution = frozen(4, 4)
    layer, maps = filtered(convolution), torch.randn(2, 4, 4, 4, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(maps), convolution(maps))
    assert is_filtered(layer(maps))
    layer.requires_grad_(True)
    made = layer(maps)
    assert not is_filtered(made)
    made.sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.usefixtures("narrow")
def test_filtered__where_the_framework_lays_out_no_matrices_it_convolves(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object, **_named: object) -> Tensor:
        raise RuntimeError("no kernel for this device")

    monkeypatch.setattr(convolutions, "pack", refuse)
    can_pack.cache_clear()
    untouched = filter_minimally(nn.Sequential(frozen(4, 4)))
    monkeypatch.undo()
    can_pack.cache_clear()
    assert type(untouched[0]) is nn.Conv2d


@pytest.mark.usefixtures("double", "narrow")
def test_filtered__sees_that_its_weights_were_changed_in_place() -> None:
    maps, other = torch.randn(2, 4, 4, 4), frozen(4, 4, seed=1)
    layer = filtered(frozen(4, 4))
    layer(maps)
    layer.load_state_dict(other.state_dict())
    torch.testing.assert_close(layer(maps), other(maps))
    for seed in range(2, 8):  # tensors that come and go have each other's address
        another = frozen(4, 4, seed=seed)
        made = torch.func.functional_call(
            layer, {name: value.clone() for name, value in another.state_dict().items()}, maps
        )
        torch.testing.assert_close(made, another(maps))


@pytest.mark.usefixtures("narrow")
def test_filtered__is_copied_converted_and_loaded_as_any_module() -> None:
    maps, other = torch.randn(2, 4, 4, 4), frozen(4, 4, seed=1)
    layer = filtered(frozen(4, 4))
    made = layer(maps)
    assert torch.equal(copy.deepcopy(layer)(maps), made)
    layer.double()
    torch.testing.assert_close(layer(maps.double()).float(), made)
    layer.float().load_state_dict(other.state_dict())
    torch.testing.assert_close(layer(maps), other(maps))


def test_filter_minimally__takes_wide_3_x_3_convolutions_of_stride_1_that_are_frozen() -> None:
    def build() -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(WIDE, WIDE, 3, padding=1),
            nn.Conv2d(WIDE, WIDE, 3, padding=1, stride=2),
            nn.Conv2d(WIDE, WIDE, 3),
            nn.Conv2d(WIDE, WIDE, 1),
            nn.Conv2d(WIDE, WIDE, 3, padding=1, groups=2),
            nn.Conv2d(WIDE, WIDE, 3, padding=1, padding_mode="reflect"),
            nn.Conv2d(WIDE, WIDE - 1, 3, padding=1),
            nn.Sequential(nn.Conv2d(WIDE, 2 * WIDE, 3, padding=1, bias=False)),
        )

    learning, still = build(), build().requires_grad_(False)
    names = list(still.state_dict())
    kept = dict(still.named_parameters())
    assert filter_minimally(still) is still
    assert [name for name, module in still.named_modules() if isinstance(module, FilteredConvolution)] == ["0", "7.0"]
    assert list(still.state_dict()) == names
    assert all(parameter is kept[name] for name, parameter in still.named_parameters())
    assert not any(isinstance(module, FilteredConvolution) for module in filter_minimally(learning).modules())
    use_shortcuts(set(SHORTCUTS) - {"minimal-filtering"})
    untouched = filter_minimally(build().requires_grad_(False))
    assert not any(isinstance(module, FilteredConvolution) for module in untouched.modules())


def test_filter_minimally__a_folded_teacher_gives_the_same_logits_and_gradients() -> None:
    torch.manual_seed(0)
    network = resnet.resnet18(3, 10, 32).eval().requires_grad_(False)
    images = torch.randn(8, 3, 32, 32)
    expected = probed(network, images)
    folded = filter_minimally(fold_batch_norms(copy.deepcopy(network), (3, 32, 32)))
    assert sum(isinstance(module, FilteredConvolution) for module in folded.modules()) == 2 * 6
    for one, other in zip(probed(folded, images), expected, strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()


@pytest.mark.usefixtures("double", "narrow")
@pytest.mark.parametrize("plugin", ["dafl", "deepinversion"])
def test_trajectory__is_that_without(plugin: str) -> None:
    students = []
    for taken in (SHORTCUTS, set(SHORTCUTS) - {"minimal-filtering"}):
        use_shortcuts(taken)
        pair, settings = "resnet_s:resnet_xs", ("batch_size=8",)
        request = Request(plugin, "digits", pair, budget="smoke", device="cpu", settings=settings)
        with untrained_assembly(plan_untrained(load_registry(), request)) as assembly:
            teacher = assembly.teacher_networks[0]
            used = [each for each in teacher.modules() if isinstance(each, FilteredConvolution)]
            for _ in range(3):
                assembly.loop.advance()
            assert any(each._kept for each in used) == ("minimal-filtering" in taken)
            students.append({name: value.clone() for name, value in assembly.student.state_dict().items()})
    for name, value in students[0].items():
        torch.testing.assert_close(value, students[1][name], rtol=1e-6, atol=1e-6)

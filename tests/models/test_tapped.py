"""Networks of anyone's: tapped, asked at plan time, and refused with a reason."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.assembly import final_layer
from dfkdbench.compatibility import check_parts
from dfkdbench.config import resolve
from dfkdbench.datasets.specs import DIGITS
from dfkdbench.descriptors import SIGNALS, ModelSpec
from dfkdbench.errors import ConfigError, PlanError, UnknownNameError
from dfkdbench.models.settling import check_final_layer, settle
from dfkdbench.models.tapped import tapped
from dfkdbench.registry import Owned, Registry
from dfkdbench.signals import read_signal


class Plain(nn.Module):
    """As written by somebody who never heard of taps."""

    def __init__(self, channels: int, classes: int, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.fc = nn.Linear(4, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.norm(self.conv(images)).relu().mean((2, 3)))
        return logits


def with_taps(channels: int, classes: int, size: int) -> nn.Module:
    return tapped(Plain(channels, classes))


def without_norm(channels: int, classes: int, size: int) -> nn.Module:
    return tapped(Plain(channels, classes, norm=False))


def without_taps(channels: int, classes: int, size: int) -> nn.Module:
    return Plain(channels, classes)


def one_too_many(channels: int, classes: int, size: int) -> nn.Module:
    return tapped(Plain(channels, classes + 1))


def no_network(channels: int, classes: int, size: int) -> str:
    return "resnet"


def broken(channels: int, classes: int, size: int) -> nn.Module:
    raise ZeroDivisionError("size")


def fails(channels: int, classes: int, size: int) -> nn.Module:
    return tapped(Plain(channels + 1, classes))


def convolutional(channels: int, classes: int, size: int) -> nn.Module:
    return tapped(nn.Sequential(nn.Conv2d(channels, classes, size), nn.Flatten()))


PROMISED = frozenset({"features", "batch_norm"})


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anyones", sys.modules[__name__])


def owned(factory: str, signals: frozenset[str] = PROMISED, **changes: object) -> Owned[ModelSpec]:
    spec = ModelSpec(factory, f"anyones:{factory}", "Toy.", signals)
    return Owned(replace(spec, **changes), "toy-lab", "1.0", "anyones")


def test_tapped__gives_the_signals_and_leaves_all_else() -> None:
    torch.manual_seed(0)
    plain = Plain(1, 10).eval()
    images = torch.randn(5, 1, 16, 16)
    names, logits, inputs = list(plain.state_dict()), plain(images), plain.conv(images)
    network = tapped(plain)
    assert network is plain
    assert list(network.state_dict()) == names
    signal = read_signal(network, images, frozenset(SIGNALS))
    torch.testing.assert_close(signal.logits, logits, rtol=0, atol=0)
    torch.testing.assert_close(network(images), logits, rtol=0, atol=0)
    torch.testing.assert_close(signal.features @ plain.fc.weight.T + plain.fc.bias, logits)
    (statistics,) = signal.batch_norm
    torch.testing.assert_close(statistics.mean, inputs.mean((0, 2, 3)))
    torch.testing.assert_close(statistics.variance, inputs.var((0, 2, 3), correction=0))
    assert statistics.running_mean is plain.norm.running_mean
    torch.testing.assert_close(signal.batch_norm_means[0], inputs.mean((2, 3)))
    assert (signal.stages, signal.heads) == ((), ())
    assert not any(layer._forward_pre_hooks for layer in network.modules())
    assert final_layer(network).shape == (10, 4)


def test_tapped__gradients_of_statistics_reach_the_images() -> None:
    network = tapped(Plain(1, 10)).eval().requires_grad_(False)
    images = torch.randn(3, 1, 8, 8, requires_grad=True)
    read_signal(network, images, frozenset({"batch_norm"})).batch_norm[0].mean.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_tapped__leaves_no_hook_behind_a_failure() -> None:
    network = tapped(Plain(3, 10))
    with pytest.raises(RuntimeError, match="channels"):
        read_signal(network, torch.zeros(2, 1, 8, 8), frozenset({"features"}))
    assert not any(layer._forward_pre_hooks for layer in network.modules())


def test_tapped__twice() -> None:
    with pytest.raises(TypeError, match="TappedPlain is tapped already"):
        tapped(tapped(Plain(1, 10)))


def test_settle__keeps_what_is_promised_and_given() -> None:
    model = owned("with_taps")
    assert settle(model, DIGITS) is model


def test_settle__asks_a_familys_member() -> None:
    assert settle(owned("with_taps", family=True), DIGITS).item.signals == PROMISED
    assert settle(owned("without_norm", family=True), DIGITS).item.signals == {"features"}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (owned("without_taps"), r"does not take taps: TypeError.*\. Let its factory return .*tapped\(network\)"),
        (owned("without_norm"), "'without_norm' of toy-lab promises batch_norm and gives none"),
        (owned("one_too_many"), r"gives \(2, 11\) for a batch of two, not logits \(2, 10\)"),
        (owned("no_network"), "is a str and no torch.nn.Module"),
        (owned("broken"), "can't be built: ZeroDivisionError: size"),
        (owned("fails"), "fails on a batch of two: RuntimeError"),
        (owned("with_taps", heads=3), "gives 0 heads; its description says 3"),
        (owned("with_taps", image_sizes=(32,)), "takes images of 32 pixels"),
    ],
    ids=lambda value: value.item.name if isinstance(value, Owned) else "",
)
def test_settle__refuses(model: Owned[ModelSpec], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        settle(model, DIGITS)


def test_check_final_layer() -> None:
    check_final_layer(owned("with_taps"), DIGITS)
    with pytest.raises(PlanError, match="a linear one with 10 outputs, and of 'convolutional' it has none"):
        check_final_layer(owned("convolutional"), DIGITS)
    with pytest.raises(PlanError, match="its last one has 11 outputs"):
        check_final_layer(owned("one_too_many"), DIGITS)


def test_family__member_by_name(registry: Registry) -> None:
    found = registry.models.get("timm.resnet18")
    assert (found.item.name, found.item.target) == ("timm.resnet18", "dfkdbench.models.timm_models:resnet18")
    assert registry.models.get("dfkdbench:timm.resnet18") == found
    assert "timm.*" in registry.models.names()
    for name in ("tim.resnet18", "resnet_s.x"):
        with pytest.raises(UnknownNameError):
            registry.models.get(name)


def test_family__teacher_without_batch_norm_is_refused_at_plan_time(registry: Registry) -> None:
    noise = registry.methods.get("noise").item
    member = settle(owned("without_norm", family=True), DIGITS).item
    resolved = resolve(registry, noise, ("digits", "", ""), [("losses.batch_norm.weight", 1.0, "--loss")])
    with pytest.raises(PlanError, match="the teacher 'without_norm' has no batch norm"):
        check_parts(noise, resolved, member, member, 1)


def test_timm__not_installed(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r'Install it with: pip install "dfkdbench\[timm\]"'):
        settle(registry.models.get("timm.resnet18"), DIGITS)

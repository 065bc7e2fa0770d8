"""Teachers whose batch norms are part of their convolutions say what they said before."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.folding import FoldedNetwork, fold_batch_norms
from dfkdbench.models import digits, lenet, resnet, vgg, wrn
from dfkdbench.models.layers import BatchNorm2d
from dfkdbench.models.tapped import tapped
from dfkdbench.seams import Taps, read_signal
from dfkdbench.shortcuts import SHORTCUTS, use_shortcuts

pytestmark = pytest.mark.usefixtures("double", "shortcuts")

GENERATOR = torch.Generator().manual_seed(0)
SHAPE = (3, 16, 16)
NETWORKS = {
    "resnet_s": (lambda: digits.resnet_s(3, 10, 16), 0),
    "resnet18": (lambda: resnet.resnet18(3, 10, 16), 0),
    "resnet50": (lambda: resnet.resnet50(3, 10, 16), 0),
    "vgg11": (lambda: vgg.vgg11(3, 10, 32), 0),
    "wrn_16_1": (lambda: wrn.wrn_16_1(3, 10, 16), 7),
}
"""Networks and how many batch norms are behind no convolution of their own."""


def settled(network: nn.Module) -> nn.Module:
    """Frozen, with batch norms as after some training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low in ((module.running_mean, -0.5), (module.bias, -0.5), (module.running_var, 0.5)):
                values.data.uniform_(low, low + 1, generator=GENERATOR)
            module.weight.data.uniform_(0.5, 1.5, generator=GENERATOR)
    return network.eval().requires_grad_(False)


def norms_of(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def images_of(side: int) -> Tensor:
    return torch.randn(3, 3, side, side, generator=GENERATOR).requires_grad_()


@pytest.mark.parametrize("name", NETWORKS)
def test_fold__same_signals_and_gradients_without_the_batch_norms(name: str) -> None:
    build, left = NETWORKS[name]
    network, side = settled(build()), 32 if name == "vgg11" else 16
    folded = fold_batch_norms(network, (3, side, side))
    assert isinstance(folded, FoldedNetwork)
    assert norms_of(network) > norms_of(folded.folded) == left
    assert not any(weight.requires_grad for weight in folded.parameters())
    assert folded.state_dict().keys() == network.state_dict().keys()
    images = images_of(side)
    signals = [read_signal(each, images, frozenset({"features", "stages"})) for each in (network, folded)]
    torch.testing.assert_close(signals[1], signals[0], rtol=1e-9, atol=1e-9)
    gradients = [torch.autograd.grad(signal.logits.square().sum(), images)[0] for signal in signals]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("wanted", ["batch_norm", "batch_norm_means"])
def test_fold__what_batch_norms_see_is_that_of_the_whole_network(wanted: str) -> None:
    network, images = settled(resnet.resnet18(3, 10, 16)), images_of(16)
    folded = fold_batch_norms(network, SHAPE)
    wants = frozenset({wanted})
    theirs, ours = (getattr(read_signal(each, images, wants), wanted) for each in (network, folded))
    assert len(ours) == norms_of(network)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


class Peeking(nn.Module):
    """A network that uses what a convolution gives beside its batch norm too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 4, 3), BatchNorm2d(4), nn.Linear(4, 10)

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        maps = self.conv(images)
        return self.fc((self.bn(maps, taps) + maps).mean((2, 3)))


class Sharing(Peeking):
    """A network that uses a convolution and its batch norm twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.bn, self.fc = BatchNorm2d(3), nn.Linear(3, 10)

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        once = self.bn(self.conv(images), taps)
        return self.fc(self.bn(self.conv(once), taps).mean((2, 3)))


@pytest.mark.parametrize("kind", [Peeking, Sharing])
def test_fold__a_network_that_it_would_change_stays_itself(kind: type[Peeking]) -> None:
    network = settled(kind())
    assert fold_batch_norms(network, SHAPE) is network


def test_fold__nothing_to_fold_or_not_in_force_is_the_network_itself() -> None:
    plain = lenet.lenet5(1, 10, 32).eval().requires_grad_(False)
    assert fold_batch_norms(plain, (1, 32, 32)) is plain
    network = settled(resnet.resnet18(3, 10, 16))
    use_shortcuts(set(SHORTCUTS) - {"folded-batch-norms"})
    assert fold_batch_norms(network, SHAPE) is network


def test_fold__networks_of_others_too() -> None:
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10)]
    network, images = settled(tapped(nn.Sequential(*layers))), images_of(16)
    folded = fold_batch_norms(network, SHAPE)
    assert isinstance(folded, FoldedNetwork)
    assert norms_of(folded.folded) == 0
    wants = frozenset({"features"})
    torch.testing.assert_close(read_signal(folded, images, wants), read_signal(network, images, wants))


def test_fold__bf16_weights_are_what_autocast_makes_of_them() -> None:
    torch.set_default_dtype(torch.float32)
    network = settled(resnet.resnet18(3, 10, 16))
    images = torch.randn(3, 3, 16, 16, generator=GENERATOR)
    wide, narrow = fold_batch_norms(network, SHAPE), fold_batch_norms(network, SHAPE, "bf16")
    assert isinstance(narrow, FoldedNetwork)
    assert {layer.weight.dtype for layer in narrow.folded.modules() if isinstance(layer, nn.Conv2d)} == {torch.bfloat16}
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(narrow(images), wide(images), rtol=0, atol=0)
    torch.testing.assert_close(narrow(images), network(images), rtol=0, atol=0)

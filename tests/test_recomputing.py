"""Gradient checkpointing: the same numbers to the bit, with less held."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.bench import Request
from dfkdbench.errors import PlanError
from dfkdbench.models.resnet import Bottleneck, ResNet
from dfkdbench.models.vgg import Vgg
from dfkdbench.models.wrn import WideResNet
from dfkdbench.parts.generators.networks import ConvNetwork
from dfkdbench.parts.options import ConvNetworkOptions
from dfkdbench.recomputing import recompute_in_backward
from dfkdbench.registry import load_registry
from dfkdbench.rng import seeded_initialisation
from dfkdbench.signals import read_signal
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly

WANTS = frozenset({"features", "stages", "batch_norm", "batch_norm_means"})
DIGITS_WITH_BATCH_NORM = "resnet_s:resnet_xs"


class Dropping(nn.Module):
    """A network of anyone's, one segment as a whole: dropout, and batch norm that is passed twice."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.linear = nn.Linear(3, 10)

    def forward(self, images: Tensor, taps: object = None) -> Tensor:
        hidden = nn.functional.dropout(self.norm(self.convolution(images)), 0.5, self.training)
        return self.linear(self.norm(hidden).mean((2, 3)))


def networks() -> dict[str, nn.Module]:
    with seeded_initialisation(3):
        return {
            "resnet": ResNet((1, 2), (4, 8), 3, 10, imagenet_stem=False),
            "bottlenecks": ResNet((1, 2), (4, 8), 3, 10, imagenet_stem=True, block=Bottleneck),
            "wrn": WideResNet(10, 1, 3, 10),
            "vgg": Vgg(((4,), (8, 8)), 3, 10),
            "dropout": Dropping(),
        }


def pass_both_ways(network: nn.Module, images: Tensor, precision: str) -> dict[str, Tensor]:
    """Everything that a pass forward and backward leaves behind."""
    torch.manual_seed(5)
    images = images.clone().requires_grad_()
    wants = frozenset() if isinstance(network, Dropping) else WANTS
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        signal = read_signal(network, images, wants)
    loss = signal.logits.square().mean()
    for statistics in signal.batch_norm:
        loss = loss + (statistics.mean - statistics.running_mean).square().sum() + statistics.variance.sum()
    for other in (*signal.stages, *signal.batch_norm_means):
        loss = loss + other.float().square().mean()
    torch.autograd.backward(loss)
    gradients = {f"gradient of {name}": weight.grad for name, weight in network.named_parameters()}
    left = {"loss": loss.detach(), "gradient of images": images.grad, "random": torch.get_rng_state()}
    return {**dict(network.state_dict()), **gradients, **left}  # type: ignore[dict-item]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", list(networks()))
def test_recompute__leaves_the_same_behind_to_the_bit(name: str, training: bool, precision: str) -> None:
    plain = networks()[name].train(training)
    recomputing = copy.deepcopy(plain)
    recompute_in_backward(recomputing)
    for seed in range(2):
        images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        expected = pass_both_ways(plain, images, precision)
        found = pass_both_ways(recomputing, images, precision)
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            assert torch.equal(found[key], value), key


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_recompute__of_a_generator_moves_its_norms_once(spectral_norm: bool) -> None:
    options = ConvNetworkOptions(channels=(8, 8, 4), spectral_norm=spectral_norm)
    with seeded_initialisation(1):
        plain = ConvNetwork(options, (3, 32, 32))
    recomputing = copy.deepcopy(plain)
    recompute_in_backward(recomputing)
    left = []
    for network in (plain, recomputing):
        for step in range(2):
            latents = torch.randn(4, 100, generator=torch.Generator().manual_seed(step))
            torch.autograd.backward(network(latents).tanh().square().sum())
        left.append({**dict(network.state_dict()), **{f"{n} grad": p.grad for n, p in network.named_parameters()}})
    assert all(torch.equal(left[1][name], value) for name, value in left[0].items())


@pytest.mark.parametrize(("recompute", "held"), [(False, True), (True, False)])
def test_recompute__holds_nothing_inside_a_segment(recompute: bool, held: bool) -> None:
    network = networks()["resnet"]
    inside: list[weakref.ref[Tensor]] = []
    network.stages[1][0].bn1.register_forward_hook(  # type: ignore[index,union-attr]
        lambda layer, inputs, output: inside.append(weakref.ref(inputs[0].untyped_storage()))
    )
    if recompute:
        recompute_in_backward(network)
    loss = network(torch.zeros(2, 3, 16, 16)).sum()
    assert (inside[0]() is not None) == held
    assert loss.requires_grad


def test_recompute__is_no_matter_without_a_graph() -> None:
    network = networks()["resnet"].requires_grad_(False)
    recompute_in_backward(network)
    passes: list[int] = []
    network.conv1.register_forward_hook(lambda *_: passes.append(1))  # type: ignore[union-attr]
    network(torch.zeros(2, 3, 16, 16))
    with torch.no_grad():
        network.requires_grad_()(torch.zeros(2, 3, 16, 16))
    assert len(passes) == 2


def test_recompute__gradients_of_weights_are_asked_for_as_in_the_pass() -> None:
    """As a student has it inside the images' objective."""
    found = []
    for recompute in (False, True):
        network = networks()["resnet"].eval()
        if recompute:
            recompute_in_backward(network)
        images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
        network.requires_grad_(False)
        loss = network(images).square().sum()
        network.requires_grad_().train()
        torch.autograd.backward(loss)
        assert all(weight.grad is None and weight.requires_grad for weight in network.parameters())
        assert all(module.training for module in network.modules())
        found.append(images.grad)
    assert torch.equal(*found)  # type: ignore[arg-type]


def test_recompute__refuses_weights_that_changed() -> None:
    network = networks()["resnet"]
    recompute_in_backward(network)
    loss = network(torch.zeros(2, 3, 16, 16)).square().sum()
    with torch.no_grad():
        next(network.parameters()).add_(1)
    with pytest.raises(PlanError, match=r"Weights of a ResNet changed .*gradient_checkpointing=true"):
        torch.autograd.backward(loss)


def plan_of(settings: tuple[str, ...], **more: Any) -> Any:
    request = Request(
        dataset="digits", pair=DIGITS_WITH_BATCH_NORM, budget="smoke", device="cpu", settings=settings, **more
    )
    return plan_untrained(load_registry(), request)


@pytest.mark.parametrize(
    "more",
    [
        {"plugin": "noise"},
        {"plugin": "noise", "generator": "conv", "losses": ("one_hot", "batch_norm", "adversarial_kl")},
        {"plugin": "noise", "generator": "pixels", "losses": ("label", "js_disagreement")},
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_run__ends_with_the_same_student(more: dict[str, Any], precision: str) -> None:
    states = []
    for on in ("false", "true"):
        settings = ("batch_size=8", f"precision={precision}", f"gradient_checkpointing={on}")
        if more["plugin"] == "noise" and "generator" in more:
            settings += ("phases.distil.generator_steps=1",)
        torch.manual_seed(0)
        with untrained_assembly(plan_of(settings, **more)) as assembly:
            for _ in range(3):
                assembly.loop.advance()
            states.append({**dict(assembly.student.state_dict()), "random": torch.get_rng_state()})
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(states[1][name], value), name


def test_plan__has_another_id_where_it_is_on_and_the_old_one_where_not() -> None:
    plain, off, on = (plan_of(given, plugin="noise") for given in ((), _set("false"), _set("true")))
    assert plain.run_id == off.run_id != on.run_id
    assert "gradient_checkpointing" not in plain.model_dump()["recipe"]
    assert on.model_dump()["recipe"]["gradient_checkpointing"] is True


def test_plan__refuses_it_with_virtual_weights() -> None:
    settings = (*_set("true"), "student_update.kind=meta_retain")
    with pytest.raises(PlanError, match="weights that the student never has"):
        plan_of(settings, plugin="noise")


def _set(on: str) -> tuple[str, ...]:
    return (f"gradient_checkpointing={on}",)

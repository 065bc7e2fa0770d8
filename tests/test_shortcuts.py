"""Shortcuts give what the plain paths give: trajectories in float64, and bf16 images in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dfkdbench.bench import Request, prepare
from dfkdbench.cli.console import Console
from dfkdbench.parts.generators.networks import build_network
from dfkdbench.parts.options import ConvNetworkOptions
from dfkdbench.precision import autocast, place, widen
from dfkdbench.registry import load_registry
from dfkdbench.rng import RandomStreams
from dfkdbench.runfolder import RunFolder
from dfkdbench.seams import Setting
from dfkdbench.shortcuts import SHORTCUTS, use_shortcuts
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly

pytestmark = pytest.mark.usefixtures("double", "shortcuts")

ROUNDS = 4
METHODS = {
    "dafl": {},
    "rdskd": {},
    "dfad": {},
    "zskt": {},
    "dfq": {"pair": "resnet_s:resnet_xs"},
    "mb_dfkd": {"pair": "resnet_s:resnet_xs"},
    "pre_dfkd": {},
    "deepinversion": {"pair": "resnet_s:resnet_xs"},
    "cdfkd_mfs": {"pair": "resnet_s:mh3_resnet_xs", "teacher_count": 3},
}


def weights_after(shortcuts: Any, plugin: str, **more: Any) -> dict[str, torch.Tensor]:
    """The student's weights after some rounds on the digits cell, computed in float64."""
    settings = ("batch_size=8", *more.pop("settings", ()))
    request = Request(plugin=plugin, dataset="digits", budget="smoke", device="cpu", settings=settings, **more)
    use_shortcuts(shortcuts)
    with untrained_assembly(plan_untrained(load_registry(), request)) as assembly:
        for _ in range(ROUNDS):
            assembly.loop.advance()
        return {name: value.clone() for name, value in assembly.student.state_dict().items()}


@pytest.mark.parametrize("plugin", METHODS)
def test_trajectory__is_that_of_the_plain_path(plugin: str) -> None:
    fast, plain = weights_after(SHORTCUTS, plugin, **METHODS[plugin]), weights_after((), plugin, **METHODS[plugin])
    assert {value.dtype for value in fast.values()} <= {torch.float64, torch.int64}
    for name, value in fast.items():
        torch.testing.assert_close(value, plain[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("taken", [tuple(SHORTCUTS), ("fused-optimizers",), ()])
def test_launch__says_which_are_in_force_and_keeps_them(taken: tuple[str, ...], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "run")
    temporary, apart = tmp_path / "temporary", tmp_path / "apart"
    for each in (folder.root, temporary, apart):
        each.mkdir(parents=True)
    folder.create()
    for asked in (taken, ("channels-last",)):
        prepared = prepare(Request(plugin="noise", dataset="digits", device="cpu", shortcuts=asked), Console())
        launch = prepared.bench(prepared.plan(0)).launch(folder, temporary, apart)
        assert launch.shortcuts == taken
        assert launch.teacher is not None
        assert launch.teacher.shortcuts == taken
        folder.launch.write_text(launch.model_dump_json(), encoding="utf-8")


def setting(precision: str) -> Setting:
    cpu = torch.device("cpu")
    streams = RandomStreams(0, cpu)
    shapes: dict[str, tuple[int, ...]] = {}
    return Setting(10, (1, 16, 16), cpu, 8, 0, 1, 1, 1, shapes, streams, precision=precision)


def made_by(precision: str) -> tuple[nn.Module, torch.Tensor, list[torch.dtype]]:
    """A generator's network, its images, and the types that its convolutions worked in."""
    network = build_network(ConvNetworkOptions(latent=8, channels=(16, 8, 8)), setting(precision)).float()
    worked_in: list[torch.dtype] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, maps: worked_in.append(maps.dtype))
    latents = torch.randn(8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    return network, network(latents), worked_in


def test_bf16__the_generator_works_in_it_and_hands_out_float32() -> None:
    _, images, worked_in = made_by("fp32")
    network, rounded, worked_in_rounded = made_by("bf16")
    assert set(worked_in) == {torch.float32}
    assert set(worked_in_rounded) == {torch.bfloat16}
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, images)
    torch.testing.assert_close(rounded, images, rtol=0, atol=0.15)
    rounded.sum().backward()
    assert {parameter.grad.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("precision", "shortcuts", "last"),
    [
        ("bf16", SHORTCUTS, True),
        ("bf16", ("channels-last",), True),
        ("bf16", (), False),
        ("fp32", SHORTCUTS, True),
        ("fp32", ("channels-last",), False),
        ("fp32", (), False),
    ],
)
def test_place__kernels_are_channels_last(precision: str, shortcuts: Any, last: bool) -> None:
    use_shortcuts(shortcuts)
    placed = place(nn.Conv2d(4, 6, 3), precision, torch.device("cpu"))
    assert placed.weight.is_contiguous(memory_format=torch.channels_last) == last


def test_generator__maps_are_channels_last_from_the_first_on() -> None:
    for shortcuts, last in ((SHORTCUTS, True), ((), False)):
        use_shortcuts(shortcuts)
        network = build_network(ConvNetworkOptions(latent=8, channels=(16, 8, 8)), setting("fp32"))
        inputs: list[torch.Tensor] = []
        for module in network.layers[:-2]:
            module.register_forward_pre_hook(lambda _module, given, seen=inputs: seen.extend(given))
        network(torch.randn(2, 8))
        assert {maps.is_contiguous(memory_format=torch.channels_last) for maps in inputs} == {last}


def test_autocast__is_bf16_where_asked_for() -> None:
    left, right = torch.ones(2, 2, dtype=torch.float32), torch.ones(2, 2, dtype=torch.float32)
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with autocast(precision, torch.device("cpu")):
            product = left @ right
        assert product.dtype is dtype
        assert widen(product).dtype is torch.float32

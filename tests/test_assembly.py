"""What parts are told about the run they are built for."""

from __future__ import annotations

import torch

from dfkdbench import assembly
from dfkdbench.bench import Request, prepare
from dfkdbench.cli.console import Console
from dfkdbench.models.digits import resnet_s
from dfkdbench.recipe import Options
from dfkdbench.registry import Registry
from dfkdbench.seams import Setting, Stateless


class Curious(Stateless):
    """A part that keeps its setting."""

    def __init__(self, options: Options, setting: Setting) -> None:
        self.setting = setting


def test_setting__tells_how_pixels_are_normalised(registry: Registry) -> None:
    request = Request(plugin="noise", dataset="digits", budget="smoke", device="cpu")
    prepared = prepare(request, Console(), registry)
    plan = prepared.plan(0)
    part = plan.slots["combiner"].model_copy(update={"target": f"{__name__}:Curious"})
    plan = plan.model_copy(update={"slots": {**plan.slots, "combiner": part}})
    weights = prepared.teachers[0].weights
    setting = assembly.Assembly(plan, [weights], torch.device("cpu")).parts.combiner.setting  # type: ignore[attr-defined]
    spec = registry.datasets.get("digits").item
    assert (setting.pixel_mean, setting.pixel_std) == (spec.mean, spec.std)


def test_signal_shapes__name_the_channels_of_batch_norms_and_stages() -> None:
    teacher = resnet_s(1, 10, 16).eval()
    shapes = assembly._signal_shapes(teacher, (1, 16, 16), torch.device("cpu"))
    assert shapes["features"] == (32,)
    assert shapes["stages"] == (8, 16, 32)
    assert shapes["batch_norm"] == (len(shapes["batch_norm_means"]),) == (9,)
    assert sum(shapes["batch_norm_means"]) == 8 + 2 * 8 + 3 * 16 + 3 * 32

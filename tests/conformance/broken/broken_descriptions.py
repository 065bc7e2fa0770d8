"""Things of which each breaks one rule; the code is in `broken_code`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ConfigDict

from dfkdbench import (
    Component,
    DatasetSpec,
    LossChoice,
    Method,
    ModelSpec,
    Options,
    PartChoice,
    Phase,
    Preset,
    Recipe,
    hookimpl,
)
from dfkdbench.datasets.specs import DIGITS

API = 1

_LOGITS = frozenset({"soft_labels", "input_gradients"})
_NOISE = "dfkdbench.parts.generators.noise:NoiseGenerator"


class LenientOptions(Options):
    """Options that take any key."""

    model_config = ConfigDict(extra="allow")


def _part(kind: str, name: str, target: str, **more: Any) -> Component:
    target = target if ":" in target else f"broken_code:{target}"
    return Component(kind=kind, name=name, target=target, summary="Broken on purpose.", **more)


@hookimpl
def dfkdbench_generators():
    trained = frozenset({"images_with_gradient"})
    return [
        _part("generator", "absent", "NoSuchGenerator"),
        _part("generator", "lenient", _NOISE, options=LenientOptions),
        _part("generator", "sixteen_pixels", "SixteenPixels"),
        _part("generator", "detached", "Detached", provides=trained),
        _part("generator", "unseeded", "Unseeded"),
        _part("generator", "forgetful", "Forgetful"),
        _part("generator", "by_hash", "SeededByHash"),
        _part("generator", "odd_labels", "OddLabels", provides=trained | {"labels"}),
    ]


@hookimpl
def dfkdbench_losses():
    return [
        _part("loss", "undocumented", "Undocumented", role="student", needs=frozenset({"soft_labels"})),
        _part("loss", "nosy", "Nosy", role="student", needs=frozenset({"hard_labels"})),
        _part("loss", "vandal", "Vandal", role="image", needs=frozenset({"batch_norm", "input_gradients"})),
        _part("loss", "reading", "Reading", role="image", needs=_LOGITS),
        _part("loss", "printing", "Printing", role="image", needs=_LOGITS),
        _part("loss", "masking", "Masking", role="student", needs=frozenset({"soft_labels"})),
        _part("loss", "asking_again", "AskingAgain", role="image", needs=_LOGITS),
        _part("loss", "detached_loss", "DetachedLoss", role="student", needs=frozenset({"soft_labels"})),
    ]


@hookimpl
def dfkdbench_replays():
    return [_part("replay", "set_in_state", "SetInState")]


@hookimpl
def dfkdbench_methods():
    recipe = Recipe(generator=PartChoice(name="noise"), phases={"distil": Phase(generator_steps=0)})
    wrong = Preset({"generator.no_such_option": 1}, dataset="digits", source="nowhere")
    backwards = recipe.model_copy(update={"student_losses": {"kl": LossChoice(weight=-1.0)}})
    return [
        Method(name="stale_preset", summary="Broken on purpose.", recipe=recipe, presets=(wrong,)),
        Method(name="backwards", summary="Broken on purpose.", recipe=backwards),
    ]


def _model(name: str, target: str, signals: frozenset[str] = frozenset()) -> ModelSpec:
    return ModelSpec(name=name, target=f"broken_code:{target}", summary="Broken on purpose.", signals=signals)


@hookimpl
def dfkdbench_models():
    return [
        _model("ten_classes", "ten_classes"),
        _model("silent", "linear_network", frozenset({"features"})),
        _model("unseeded_network", "unseeded_network"),
    ]


def _dataset(name: str, loader: str, **changes: Any) -> DatasetSpec:
    return replace(DIGITS, name=name, target=f"broken_code:{loader}", summary="Broken on purpose.", **changes)


@hookimpl
def dfkdbench_datasets():
    return [
        _dataset("shuffled", "load_shuffled"),
        _dataset("copied", "load_copied"),
        _dataset("dark", "load_digits", mean=(0.9,)),
        _dataset("unpaired", "load_digits", pairs=("lenet_s:no_such_model",)),
    ]

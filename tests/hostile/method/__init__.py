"""An ordinary method on noise, with a loop of its own. What it does besides lies in the files beside it."""

import importlib
import json
from pathlib import Path

from dfkdbench.descriptors import Method
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, PartChoice, Phase, Recipe

API = 1
FACTS = json.loads((Path(__file__).parent / "facts.json").read_text(encoding="utf-8"))


def cheat(name):
    """The function that "file.function" names."""
    module, _, function = name.partition(".")
    return getattr(importlib.import_module(f"hostile.{module}"), function)


@hookimpl
def dfkdbench_methods():
    recipe = Recipe(
        generator=PartChoice(name="noise"),
        student_losses={"kl": LossChoice()},
        batch_size=32,
        phases={"distil": Phase(generator_steps=0)},
    )
    return [
        Method(
            name="hostile",
            summary="Hostile.",
            recipe=recipe,
            loop="hostile.loop:Loop",
            honours=frozenset({"generator"}),
            access=frozenset(FACTS["access"]),
        )
    ]


for name in FACTS["at_import"]:
    cheat(name)(FACTS)

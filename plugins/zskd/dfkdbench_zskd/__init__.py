"""ZSKD: class impressions of the teacher, drawn from the similarity of its classes; then distilled from.

Nayak, Mopuri, Shaj, Babu, Chakraborty. Zero-Shot Knowledge Distillation in Deep Networks. ICML 2019. arXiv 1905.08114.
Values follow the official code, which is for CIFAR-10 with AlexNet; what is ours says so in its `source`.
"""

from __future__ import annotations

from dfkdbench.descriptors import PUBLISHED, Component, Method, Preset
from dfkdbench.hookspecs import hookimpl
from dfkdbench.recipe import LossChoice, OptimizerOptions, PartChoice, Phase, Recipe
from dfkdbench_zskd.options import ImpressionsOptions

API = 1

_PAPER = "Nayak et al., Zero-Shot Knowledge Distillation in Deep Networks, ICML 2019, arXiv 1905.08114"

RECIPE = Recipe(
    generator=PartChoice(name="impressions", options={"optimizer": {"lr": 1e-3}, "batch_size": 100}),
    losses={"label": LossChoice(options={"temperature": 20.0})},
    student_losses={"kl": LossChoice(options={"temperature": 20.0, "temperature_squared": True})},
    batch_size=64,
    student=OptimizerOptions(kind="adam", lr=1e-3),
    phases={
        "impressions": Phase(rounds=400, generator_steps=1500, student_steps=0),
        "distil": Phase(generator_steps=0),
    },
)
"""The official values for CIFAR-10: 40,000 images, 1500 steps each."""

_OWN = "this suite's own: "
_IMPRESSIONS_OF_24_000 = {"phases.impressions.rounds": 240}
_DIGITS = {
    "generator.optimizer.lr": 1e-2,
    "student.lr": 5e-3,
    "student.schedule": "cosine",
}
_GREY = ("mnist", "fashion_mnist", "kmnist", "usps")
_FITS = f"{_OWN}as many images and steps as the tier's teacher queries pay for"
_SMOKE = {
    "generator.batch_size": 64,
    "phases.impressions.rounds": 2,
    "phases.impressions.generator_steps": 20,
}


def _of(rounds: int, steps: int, lr: float) -> dict[str, float]:
    """So many batches of 100 images, optimised at that rate."""
    return {
        "phases.impressions.rounds": rounds,
        "phases.impressions.generator_steps": steps,
        "generator.optimizer.lr": lr,
    }


PRESETS = (
    *(
        Preset(
            _IMPRESSIONS_OF_24_000,
            dataset=dataset,
            source="24,000 images: re-implementation at 40 % of the training set",
            tuning=PUBLISHED,
        )
        for dataset in ("mnist", "fashion_mnist", "kmnist")
    ),
    Preset(
        {"phases.distil.rounds": 312_500, "generator.affine": True},
        dataset="cifar10",
        budget="paper",
        source="official code: 500 epochs over 40,000 images in batches of 64, with its augmentation",
        tuning=PUBLISHED,
    ),
    *(
        Preset(
            {"phases.distil.rounds": 187_500},
            dataset=dataset,
            budget="paper",
            source="500 epochs over 24,000 images, as for CIFAR-10; there is no official recipe",
        )
        for dataset in ("mnist", "fashion_mnist")
    ),
    Preset(_of(166, 1500, 1e-3), budget="standard", source=_FITS),
    Preset(_of(50, 500, 3e-3), budget="quick", source=f"{_FITS}, at a larger rate"),
    *(Preset(_of(51, 500, 3e-3), dataset=dataset, budget="standard", source=_FITS) for dataset in _GREY),
    *(Preset(_of(10, 500, 3e-3), dataset=dataset, budget="quick", source=_FITS) for dataset in _GREY),
    Preset(_DIGITS, dataset="digits", source=f"{_OWN}short optimisation"),
    Preset(_of(25, 200, 1e-2), dataset="digits", budget="standard", source=_FITS),
    Preset(_of(10, 100, 1e-2), dataset="digits", budget="quick", source=_FITS),
    Preset(_SMOKE, budget="smoke", source=f"{_OWN}just enough to run everything"),
)

METHOD = Method(
    name="zskd",
    summary="Images optimised to soft targets drawn by the teacher's similar classes; the student learns from them.",
    recipe=RECIPE,
    presets=PRESETS,
    paper=_PAPER,
    tuning=PUBLISHED,
)


@hookimpl
def dfkdbench_generators() -> tuple[Component, ...]:
    """Class impressions."""
    return (
        Component(
            kind="generator",
            name="impressions",
            target="dfkdbench_zskd.impressions:ImpressionsGenerator",
            summary="Images under optimisation with soft targets drawn from the similarity of the teacher's classes.",
            options=ImpressionsOptions,
            needs=frozenset({"final_layer"}),
            provides=frozenset({"images_with_gradient", "labels"}),
            paper=_PAPER,
        ),
    )


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """ZSKD."""
    return (METHOD,)

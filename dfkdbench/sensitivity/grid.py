"""Which runs a study takes: the settings of a recipe that it varies, and the values it gives them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dfkdbench.config import LOSS_GROUPS, Resolved, flatten
from dfkdbench.errors import ConfigError, nearest

_DIGITS = 12


@dataclass(frozen=True)
class Variation:
    """One setting away from the preset.

    Attributes:
        setting: Dotted key, as after `--set`.
        value: The preset's value times `factor`.
    """

    setting: str
    factor: float
    value: float

    @property
    def text(self) -> str:
        """As after `--set`."""
        return f"{self.setting}={self.value!r}"


def parse_factors(text: str) -> tuple[float, ...]:
    """Factors from text such as `0.1,1,10`, rising; 1, the preset itself, is always among them.

    Raises:
        ConfigError: Anything but distinct positive numbers, one of them not 1.
    """
    try:
        factors = [float(piece) for piece in text.split(",")]
    except ValueError:
        factors = []
    if len(set(factors)) != len(factors) or not any(f != 1 for f in factors) or not all(0 < f < 1e9 for f in factors):
        raise ConfigError(f"--factors takes distinct positive numbers such as 0.1,0.3,1,3,10; given '{text}'.")
    return tuple(sorted({*factors, 1.0}))


def studied_settings(resolved: Resolved) -> dict[str, float]:
    """Every loss weight and every learning rate of a recipe with its value, by dotted key.

    Weights are those of the losses in force, on images and on the student. Learning rates are the student's and every
    numeric option of a part that is called `lr` or ends in `_lr`: of generator, losses and replay memory. Where no
    phase trains the generator, its rates and the weights of image losses are left out, since nothing reads them.
    """
    generator_learns = any(phase.generator_steps for phase in resolved.recipe.phases.values())
    groups = [group for group in LOSS_GROUPS if generator_learns or group != "losses"]
    parts = {slot: part for slot, part in resolved.slots.items() if generator_learns or slot != "generator"}
    found = {}
    for group in groups:
        for name, part in getattr(resolved, group).items():
            found[f"{group}.{name}.weight"] = part.weight
            parts[f"{group}.{name}"] = part
    found["student.lr"] = resolved.recipe.student.lr
    for prefix, part in parts.items():
        for key, value in flatten(part.options, f"{prefix}."):
            if _is_rate(key) and isinstance(value, float) and value != 0:
                found[key] = value
    return found


def choose_settings(settings: dict[str, float], wanted: Sequence[str], method: str) -> dict[str, float]:
    """Those whose keys match one of the patterns, such as `student.lr` or `losses.*`; all where there is no pattern.

    Raises:
        ConfigError: A method that has none of them.
    """
    if not wanted:
        return settings
    chosen = {key: value for key, value in settings.items() if any(fnmatchcase(key, pattern) for pattern in wanted)}
    if not chosen:
        given = ", ".join(wanted)
        raise ConfigError(
            f"'{method}' has no loss weight and no learning rate called {given}.{nearest(wanted[0], settings)} "
            f"It has: {', '.join(settings)}."
        )
    return chosen


def variations(settings: dict[str, float], factors: Sequence[float]) -> Iterator[Variation]:
    """Every setting times every factor but 1."""
    for setting, value in settings.items():
        for factor in factors:
            if factor != 1:
                yield Variation(setting, factor, scaled(value, factor))


def scaled(value: float, factor: float) -> float:
    """A varied value, as a user would write it: without the dust of a multiplication."""
    return float(f"{value * factor:.{_DIGITS}g}")


def _is_rate(key: str) -> bool:
    last = key.rpartition(".")[2]
    return last == "lr" or last.endswith("_lr")

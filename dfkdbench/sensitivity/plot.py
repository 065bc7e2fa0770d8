"""A study as a drawing: one small panel for each setting, one line in it for each method."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dfkdbench.sensitivity.figures import Line, MethodStudy, lines, summary
from dfkdbench.svg import document, path, text

_COLUMNS = 3
_WIDTH, _HEIGHT = 236, 132
_PITCH_X, _PITCH_Y = 300, 206
_LEFT, _TOP = 44, 84
_LONGEST_KEY = 42
_MOST_TICKS = 7

_LIGHT = ("#0b62a8", "#b3420a", "#1b7a3d", "#7a3fa0")
_DARK = ("#74b7f4", "#f4a763", "#74d491", "#cba2ee")
_DASHES = ("none", "8 4", "2 3", "10 3 2 3")
_MARKS = (
    "M{x:.1f} {y:.1f}m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "M{x:.1f} {y:.1f}m-4 -4h8v8h-8z",
    "M{x:.1f} {y:.1f}m0 -5l5 9h-10z",
)


def _colours(ink: str, faint: str, paper: str, methods: Sequence[str]) -> str:
    return (
        f".sensitivity rect{{fill:{paper}}}.sensitivity text{{fill:{ink}}}"
        f".sensitivity .axis{{stroke:{ink}}}.sensitivity .grid{{stroke:{faint}}}"
        + "".join(
            f".sensitivity .line{index},.sensitivity .failed{index}{{stroke:{colour}}}"
            f".sensitivity .mark{index},.sensitivity .seed{index}{{fill:{colour}}}"
            for index, colour in enumerate(methods)
        )
    )


_STYLE = (
    ".sensitivity text{font:12px system-ui,sans-serif}.sensitivity .title{font-weight:600}"
    ".sensitivity path{fill:none}.sensitivity .grid{stroke-width:1}"
    + "".join(
        f".sensitivity .line{index}{{stroke-width:2;stroke-dasharray:{dash}}}"
        f".sensitivity .failed{index}{{stroke-width:2}}.sensitivity .seed{index}{{opacity:.45}}"
        for index, dash in enumerate(_DASHES)
    )
    + _colours("#1a1a1a", "#d9d9d9", "#ffffff", _LIGHT)
    + f"@media(prefers-color-scheme:dark){{{_colours('#eeeeee', '#444444', '#1a1a1a', _DARK)}}}"
)


def sensitivity_svg(studies: Sequence[MethodStudy], title: str, ident: str = "sensitivity") -> str:
    """Accuracy against the factor on a setting, on a logarithmic axis; every panel has the same two axes.

    A line is the mean over seeds, a small dot one seed, a cross a run that failed (drawn where it counts: at guessing
    if it has no accuracy). The preset is the point at 1 of every line. It follows the reader's light or dark scheme,
    tells methods apart by dashes and marks as well as by colour, and has a text of the same content.

    Raises:
        ValueError: No study has a whole seed.
    """
    drawn = [(index, study, {line.setting: line for line in lines(study)}) for index, study in enumerate(studies)]
    settings = list(dict.fromkeys(setting for _, _, found in drawn for setting in found))
    if not settings:
        raise ValueError("There is no whole seed to draw.")
    low, high = _range_of([study for _, study, found in drawn if found])
    columns = min(_COLUMNS, len(settings))
    parts = [text(12, 22, title, kind="title"), *_legend(studies)]
    for position, setting in enumerate(settings):
        panel = _Panel(position, low, high, studies[0].factors)
        parts += panel.frame(setting)
        for index, study, found in drawn:
            if setting in found:
                parts += panel.line(index, study, found[setting])
    rows = math.ceil(len(settings) / columns)
    size = (max(columns * _PITCH_X, 560) + 12, _TOP + rows * _PITCH_Y)
    return document("sensitivity", ident, size, title, in_words(studies), _STYLE, parts)


def in_words(studies: Sequence[MethodStudy]) -> str:
    """A study's figures as text, in place of the drawing."""
    told = []
    for study in studies:
        figures = summary(study)
        if not figures:
            told.append(f"{study.method}: no whole seed.")
            continue
        points = "; ".join(
            f"{line.setting} " + ", ".join(f"x{factor:g} {accuracy:.1f}" for factor, accuracy in line.points.items())
            for line in lines(study)
        )
        failed = 100 * figures["failure_rate"].mean
        told.append(
            f"{study.method}, mean of {_seeds(study)}, in percent: preset {figures['base'].mean:.1f}, "
            f"loss off the preset {figures['loss'].mean:.1f}, failed {failed:.0f} of 100. {points}."
        )
    return " ".join(told)


class _Panel:
    """One panel: where it is, and its axes."""

    def __init__(self, position: int, low: float, high: float, factors: tuple[float, ...]) -> None:
        row, column = divmod(position, _COLUMNS)
        self.left, self.top = _LEFT + column * _PITCH_X, _TOP + row * _PITCH_Y
        self.low, self.high, self.factors = low, high, factors

    def x(self, factor: float) -> float:
        ends = math.log10(self.factors[0]), math.log10(self.factors[-1])
        return self.left + _WIDTH * (math.log10(factor) - ends[0]) / (ends[1] - ends[0])

    def y(self, accuracy: float) -> float:
        return self.top + _HEIGHT * (self.high - accuracy) / (self.high - self.low)

    def frame(self, setting: str) -> list[str]:
        """Title, axes and ticks."""
        bottom = self.top + _HEIGHT
        shown = setting if len(setting) <= _LONGEST_KEY else f"{setting[: _LONGEST_KEY - 3]}..."
        parts = [text(self.left - 32, self.top - 10, shown, kind="title")]
        for tick in _ticks(self.low, self.high):
            parts.append(path(f"M{self.left} {self.y(tick):.1f}h{_WIDTH}", "grid"))
            parts.append(text(self.left - 6, self.y(tick) + 4, f"{tick:g}", "end"))
        ends = (self.factors[0], 1.0, self.factors[-1])
        for factor in self.factors if len(self.factors) <= _MOST_TICKS else ends:
            parts.append(path(f"M{self.x(factor):.1f} {bottom}v4", "axis"))
            parts.append(text(self.x(factor), bottom + 18, f"×{factor:g}" if factor != 1 else "preset", "middle"))
        return [*parts, path(f"M{self.left} {self.top}v{_HEIGHT}h{_WIDTH}", "axis")]

    def line(self, index: int, study: MethodStudy, line: Line) -> list[str]:
        """A method's line with its marks, seeds and failures."""
        style, mark = index % len(_LIGHT), _MARKS[index % len(_MARKS)]
        places = [(self.x(factor), self.y(accuracy)) for factor, accuracy in line.points.items()]
        parts = [path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places), f"line{style}")]
        for seed in study.seeds:
            outcomes = {1.0: study.base[seed]}
            outcomes |= {factor: found for (key, factor), found in study.varied[seed].items() if key == line.setting}
            for factor, outcome in outcomes.items():
                x, y = self.x(factor), self.y(outcome.accuracy)
                if outcome.failure:
                    parts.append(path(f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8", f"failed{style}"))
                else:
                    parts.append(
                        path(f"M{x:.1f} {y:.1f}m-1.8 0a1.8 1.8 0 1 0 3.6 0a1.8 1.8 0 1 0 -3.6 0z", f"seed{style}")
                    )
        return [*parts, *(path(mark.format(x=x, y=y), f"mark{style}") for x, y in places)]


def _legend(studies: Sequence[MethodStudy]) -> list[str]:
    parts, x = [], 12.0
    for index, study in enumerate(studies):
        style, mark = index % len(_LIGHT), _MARKS[index % len(_MARKS)]
        label = f"{study.method} ({_seeds(study)})"
        parts += [path(f"M{x:.1f} 44h36", f"line{style}"), path(mark.format(x=x + 18, y=44.0), f"mark{style}")]
        parts.append(text(x + 44, 48, label))
        x += 44 + 7.2 * len(label) + 24
    return [*parts, text(x, 48, "cross: failed; y: final accuracy in %")]


def _seeds(study: MethodStudy) -> str:
    return "1 seed" if len(study.seeds) == 1 else f"{len(study.seeds)} seeds"


def _range_of(studies: Sequence[MethodStudy]) -> tuple[float, float]:
    """Multiples of ten around every accuracy."""
    found = [study.base[seed].accuracy for study in studies for seed in study.seeds]
    found += [outcome.accuracy for study in studies for seed in study.seeds for outcome in study.varied[seed].values()]
    low, high = 10.0 * math.floor(min(found) / 10.0), 10.0 * math.ceil(max(found) / 10.0)
    return (low, high) if high > low else (low - 10.0, high)


def _ticks(low: float, high: float) -> list[float]:
    step = next(step for step in (10.0, 20.0, 25.0, 50.0) if (high - low) / step <= 6 or step == 50.0)
    first = step * math.ceil(low / step)
    return [first + step * index for index in range(int((high - first) / step) + 1)]

"""Writes the measured part of docs/cost.md, and docs/cost.svg, from docs/cost.csv: python tools/cost_page.py

The figures are those of `python benchmarks/growth.py`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

from dfkdbench.svg import document, path, text

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- begin: tools/cost_page.py -->", "<!-- end: tools/cost_page.py -->"

_COLUMNS = 3
_WIDTH, _HEIGHT = 220, 150
_PITCH_X, _PITCH_Y = 280, 226
_LEFT, _TOP = 44, 84
_LIGHT, _DARK = ("#0b62a8", "#b3420a"), ("#74b7f4", "#f4a763")


class Line(NamedTuple):
    """One work on one axis, sizes ascending."""

    axis: str
    work: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    memory: tuple[float, ...]

    def exponent(self, costs: tuple[float, ...]) -> float:
        """e of cost ~ size ** e between the two largest sizes."""
        return math.log(costs[-1] / costs[-2]) / math.log(self.sizes[-1] / self.sizes[-2])


def read() -> tuple[list[Line], str]:
    """The measured lines, and the hardware and torch they were measured with."""
    with (DOCS / "cost.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = []
    for (axis, work), group in groupby(rows, lambda row: (row["axis"], row["work"])):
        points = list(group)
        costs = (tuple(float(point[name]) for point in points) for name in ("seconds", "memory_mib"))
        lines.append(Line(axis, work, tuple(int(point["size"]) for point in points), *costs))
    return lines, f"{rows[0]['hardware']}, torch {rows[0]['torch']}"


def table(lines: list[Line]) -> str:
    """Every line's figures, and how they grow."""
    head = ("against", "work", "sizes", "seconds a round", "MiB", "exponent of time", "of memory")
    body = [
        (
            line.axis,
            line.work,
            ", ".join(map(str, line.sizes)),
            ", ".join(f"{value:.2f}" for value in line.seconds),
            ", ".join(f"{value:.0f}" for value in line.memory),
            f"{line.exponent(line.seconds):.2f}",
            f"{line.exponent(line.memory):.2f}",
        )
        for line in lines
    ]
    return tabulate(body, head, tablefmt="github", disable_numparse=True)


def measured() -> str:
    """The measured part of the page."""
    lines, hardware = read()
    return f"{BEGIN}\nMeasured on {hardware}.\n\n{table(lines)}\n\n![Growth of time and memory](cost.svg)\n{END}"


def page(current: str) -> str:
    """The page with its measured part made anew."""
    before, rest = current.split(BEGIN)
    return before + measured() + rest.split(END)[1]


def drawing() -> str:
    """A panel for every axis: cost over that of the smallest size against size over the smallest, both logarithmic."""
    lines, _ = read()
    panels = [list(group) for _, group in groupby(lines, lambda line: line.axis)]
    parts = [text(12, 22, "Cost of a round against size", kind="title"), *_legend()]
    for position, panel in enumerate(panels):
        parts += _panel(position, panel)
    size = (_COLUMNS * _PITCH_X + 12, _TOP + math.ceil(len(panels) / _COLUMNS) * _PITCH_Y)
    return document("cost", "cost", size, "Cost of a round against size", _in_words(lines), _style(), parts)


def _in_words(lines: list[Line]) -> str:
    return " ".join(
        f"{line.work} against {line.axis}, {line.sizes[0]} to {line.sizes[-1]}: time "
        f"x{line.seconds[-1] / line.seconds[0]:.2f}, memory x{line.memory[-1] / line.memory[0]:.2f}."
        for line in lines
    )


def _legend() -> list[str]:
    parts, x = [], 12.0
    for kind, words in (("time0", "time"), ("memory0", "memory"), ("linear", "linear growth")):
        parts += [path(f"M{x:.1f} 44h36", kind), text(x + 44, 48, words)]
        x += 150
    return parts


def _panel(position: int, lines: list[Line]) -> Iterator[str]:
    row, column = divmod(position, _COLUMNS)
    left, top = _LEFT + column * _PITCH_X, _TOP + row * _PITCH_Y
    growths = [growth for line in lines for growth in (*_growths(line.sizes), *_growths(line.seconds))]
    growths += [growth for line in lines for growth in _growths(line.memory)]
    widest = max(growth for line in lines for growth in _growths(line.sizes))
    low, high = min(0.0, math.floor(min(growths))), max(1.0, math.ceil(max(growths)))

    def spot(size: float, cost: float) -> str:
        return f"{left + _WIDTH * size / widest:.1f} {top + _HEIGHT * (high - cost) / (high - low):.1f}"

    yield text(left, top - 8, lines[0].axis, kind="title")
    yield path(f"M{left} {top}v{_HEIGHT}h{_WIDTH}", "axis")
    yield path(f"M{spot(0, 0)}L{spot(widest, widest)}", "linear")
    for power in {low, 0.0, high}:
        yield text(left - 6, top + _HEIGHT * (high - power) / (high - low) + 4, f"x{2**power:g}", "end")
    for size, growth in zip(lines[0].sizes, _growths(lines[0].sizes), strict=True):
        yield text(left + _WIDTH * growth / widest, top + _HEIGHT + 16, str(size), "middle")
    for index, line in enumerate(lines):
        yield text(left + 6, top + 14 + 15 * index, line.work, kind=f"name{index}")
        for kind, costs in (("time", line.seconds), ("memory", line.memory)):
            spots = (spot(*pair) for pair in zip(_growths(line.sizes), _growths(costs), strict=True))
            yield path("M" + "L".join(spots), f"{kind}{index}")


def _growths(values: tuple[float, ...] | tuple[int, ...]) -> list[float]:
    """Doublings since the first value."""
    return [math.log2(value / values[0]) for value in values]


def _style() -> str:
    def colours(ink: str, faint: str, paper: str, lines: tuple[str, ...]) -> str:
        return (
            f".cost rect{{fill:{paper}}}.cost text{{fill:{ink}}}"
            f".cost .axis{{stroke:{ink}}}.cost .linear{{stroke:{faint}}}"
            + "".join(
                f".cost .time{index},.cost .memory{index}{{stroke:{colour}}}.cost .name{index}{{fill:{colour}}}"
                for index, colour in enumerate(lines)
            )
        )

    return (
        ".cost text{font:12px system-ui,sans-serif}.cost .title{font-weight:600}.cost path{fill:none}"
        + "".join(
            f".cost .time{index},.cost .memory{index}{{stroke-width:2}}.cost .memory{index}{{stroke-dasharray:6 4}}"
            for index in range(len(_LIGHT))
        )
        + colours("#1a1a1a", "#b0b0b0", "#ffffff", _LIGHT)
        + f"@media(prefers-color-scheme:dark){{{colours('#eeeeee', '#666666', '#1a1a1a', _DARK)}}}"
    )


if __name__ == "__main__":
    target = DOCS / "cost.md"
    target.write_text(page(target.read_text(encoding="utf-8")), encoding="utf-8")
    (DOCS / "cost.svg").write_text(drawing(), encoding="utf-8")

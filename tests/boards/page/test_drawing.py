"""Scales, ticks, labels, frontiers and colours of the plots."""

from __future__ import annotations

import random
import re
from itertools import combinations, pairwise
from typing import Any

import pytest

from dfkdbench.boards.outputs.page import palette
from dfkdbench.boards.outputs.page.costplot import COSTS, frontier
from dfkdbench.boards.outputs.page.curves import curves, thinned
from dfkdbench.boards.outputs.page.labels import Box, place_labels
from dfkdbench.boards.outputs.page.leagues import REFERENCE, looks_of, seen_in
from dfkdbench.boards.outputs.page.scales import accuracy_scale, brief, linear_scale, log_scale
from dfkdbench.boards.outputs.page.strips import accuracy_axis, accuracy_strip, told_apart
from dfkdbench.descriptors import PRIORS, TEACHER_ACCESS

RANGES = [[0.0], [100.0], [0.0, 100.0], [95.0], [95.0, 95.1], [10.2, 99.4], [99.99, 99.999], [50.0, 50.0], []]


@pytest.mark.parametrize("values", RANGES)
def test_accuracy_scale__rises_and_stays_inside(values: list[float]) -> None:
    scale = accuracy_scale(values, 10, 110, 20)
    places = [scale(value / 10) for value in range(0, 1001)]
    assert places == sorted(places)
    assert 10 <= places[0] <= places[-1] <= 110
    assert all(10 <= scale(tick) <= 110 and 0 <= tick < 100 for tick in scale.ticks)
    assert all(abs(scale(one) - scale(other)) >= 20 for one, other in combinations(scale.ticks, 2))


def test_accuracy_scale__equal_factors_of_the_error_are_equally_far() -> None:
    scale = accuracy_scale([60.0, 99.0], 0, 100, 1)
    steps = [second - first for first, second in pairwise(map(scale, (80.0, 90.0, 95.0, 97.5)))]
    assert steps == pytest.approx([steps[0]] * 3)
    assert scale.transform(20.0) < 0 < scale.transform(61.0)
    assert scale(20.0) == 0


@pytest.mark.parametrize("values", [[1.0], [13.0, 150.0], [122_880, 1_804_800], [0.001, 5e9], [7, 7]])
def test_log_scale__has_ticks_that_keep_their_distance(values: list[float]) -> None:
    scale = log_scale(values, 40, 560, 44)
    assert all(40 < scale(value) < 560 for value in values)
    assert len(scale.ticks) >= 2
    assert all(scale(second) - scale(first) >= 44 for first, second in pairwise(scale.ticks))


@pytest.mark.parametrize(("low", "high", "ticks"), [(-3, 3.5, [-2, 0, 2]), (0, 204_800, [0, 100_000, 200_000])])
def test_linear_scale__has_round_ticks(low: float, high: float, ticks: list[float]) -> None:
    assert list(linear_scale(low, high, 0, 200, 60).ticks) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (99.5, "99.5"), (1000, "1k"), (204_800, "205k"), (1.5e6, "1.5M"), (-2000, "-2k")]
)
def test_brief(value: float, text: str) -> None:
    assert brief(value) == text


def test_labels__lie_on_no_point_and_on_no_other_label() -> None:
    chance = random.Random(3)
    plot = Box(0, 0, 580, 400)
    points = [(chance.uniform(20, 560), chance.uniform(20, 380)) for _ in range(30)]
    names = ["x" * chance.randrange(3, 25) for _ in points]
    labels = place_labels(points, names, plot)
    boxes = [Box(label.x, label.y - 9, label.x + label.width, label.y + 3) for label in labels if label]
    assert len(boxes) > 25
    assert not [one for one, other in combinations(boxes, 2) if one.overlaps(other)]
    assert not [box for box in boxes for x, y in points if box.overlaps(Box(x - 1, y - 1, x + 1, y + 1))]
    assert all(box.inside(plot) for box in boxes)


def test_labels__without_room_are_left_out() -> None:
    assert place_labels([(5.0, 5.0)], ["a long name"], Box(0, 0, 10, 10)) == [None]


def test_labels__keep_off_lines_where_they_can() -> None:
    (label,) = place_labels([(50.0, 50.0)], ["abc"], Box(0, 0, 100, 100), [Box(51, 0, 100, 100)])
    assert label is not None
    assert label.x + label.width < 51


@pytest.mark.parametrize(("count", "most"), [(3, 5), (5, 5), (10, 4), (10_000, 60), (11, 10)])
def test_thinned__spreads_evenly_and_keeps_the_last(count: int, most: int) -> None:
    chosen = thinned(count, most)
    assert len(chosen) == min(count, most)
    assert chosen[-1] == count - 1
    gaps = {second - first for first, second in pairwise(chosen)}
    assert max(gaps) - min(gaps) <= 1


def rows_of(shown: Any) -> dict[str, Any]:
    return {row.method.split(" --set")[0]: row for row in shown.board.tables[0].rows}


def test_frontier__is_what_no_other_beats_in_both(shown: Any) -> None:
    rows = rows_of(shown)
    row, seconds = rows["alpha"], COSTS[0]

    def at(key: str, accuracy: float, spent: float) -> Any:
        return row.model_copy(update={"key": key, "mean": accuracy, "seconds": spent})

    found = frontier([at("d", 95, 40), at("a", 90, 10), at("c", 95, 30), at("b", 89, 20), at("e", 97, 50)], seconds)
    assert [each.key for each in found] == ["a", "c", "e"]


def test_curve__band_goes_from_the_lowest_seed_to_the_highest(shown: Any) -> None:
    table = shown.board.tables[0]
    section = str(curves(table, looks_of(shown.board)))
    bands = re.findall(r'class="band [^"]*" d="M([^"]*)z"', section)
    lines = re.findall(r'class="curve [^"]*" d="M([^"]*)"', section)
    assert len(bands) == len(lines) == 5
    for band, line in zip(bands, lines, strict=True):
        points = [tuple(map(float, point.split())) for point in band.split("L")]
        middle = [tuple(map(float, point.split())) for point in line.split("L")]
        assert len(points) == 2 * len(middle) == 6
        for index, (x, y) in enumerate(middle):
            (low_x, low_y), (high_x, high_y) = points[index], points[-1 - index]
            assert low_x == x == high_x
            assert high_y <= y <= low_y


def test_told_apart__leaves_out_controls_that_are_below_all_else(shown: Any) -> None:
    table = shown.board.tables[0]
    below, above = ({"mean": mean, "key": f"{mean}"} for mean in (50.0, 99.5))
    controls = tuple(table.controls[0].model_copy(update=changes) for changes in (below, above))

    def mean_of(row: Any) -> list[float]:
        return [] if row.mean is None else [row.mean]

    assert sorted(told_apart(table.model_copy(update={"controls": controls}), mean_of)) == [
        80.5,
        96,
        97,
        97.2,
        99,
        99.5,
    ]
    alone = table.model_copy(update={"controls": controls, "rankings": ()})
    assert sorted(told_apart(alone, mean_of)) == [50, 99, 99.5]


def test_strip__beyond_the_axis_is_an_arrow(shown: Any) -> None:
    table, rows = shown.board.tables[0], rows_of(shown)
    scale = accuracy_axis(table)
    assert "mark" not in str(accuracy_strip(rows["noise"], scale, REFERENCE, 99.0))
    assert "mark" in str(accuracy_strip(rows["gamma"], scale, REFERENCE, 99.0))
    assert accuracy_strip(rows["delta"], scale, REFERENCE, 99.0) is None


@pytest.mark.parametrize("scheme", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_colours__can_be_read_on_every_surface(scheme: dict[str, str]) -> None:
    assert palette.LIGHT.keys() == palette.DARK.keys()
    read = [*palette.TEXT, "reference", *(f"league-{index}" for index in range(palette.LEAGUES))]
    for name in read:
        for surface in palette.SURFACES:
            assert palette.contrast(scheme[name], scheme[surface]) >= 4.5, (name, surface)


def test_contrast__of_black_and_white_is_21() -> None:
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_looks__differ_in_colour_shape_and_dash(shown: Any) -> None:
    looks = [*looks_of(shown.board).values(), REFERENCE]
    for attribute in ("class_", "shape", "dash"):
        assert len({getattr(look, attribute) for look in looks}) == len(looks)


@pytest.mark.parametrize("word", [*TEACHER_ACCESS, *PRIORS])
def test_leagues__are_all_told_in_words(word: str) -> None:
    assert seen_in(word.replace("_", "-")).startswith("may see ")
    assert " and " in seen_in(f"soft-labels+{word.replace('_', '-')}")


def test_league__that_nobody_knows_has_no_words() -> None:
    assert seen_in("tea-leaves") == ""

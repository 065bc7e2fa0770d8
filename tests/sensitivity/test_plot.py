"""The drawing of a study: whole XML, everything inside the frame, to scale, and the same in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from dfkdbench.sensitivity.figures import MethodStudy
from dfkdbench.sensitivity.plot import sensitivity_svg

SVG = "{http://www.w3.org/2000/svg}"
MakeStudy = Callable[..., MethodStudy]


def paths(root: ElementTree.Element, kind: str) -> list[str]:
    return [path.attrib["d"] for path in root.iter(f"{SVG}path") if path.attrib["class"] == kind]


def start_of(path: str) -> tuple[float, float]:
    x, y = re.match(r"M([\d.]+) ([\d.]+)", path).groups()
    return float(x), float(y)


@pytest.fixture
def pair(make_study: MakeStudy) -> list[MethodStudy]:
    first = make_study("toy", {0: (90.0, 80.0, 60.0, 90.0, None), 1: (94.0, 90.0, 94.0, 94.0, 94.0)})
    return [first, make_study("other", {0: (85.0, 84.0, 83.0, 82.0, 81.0)})]


def test_svg__a_panel_for_each_setting_and_a_line_for_each_method(pair: list[MethodStudy]) -> None:
    root = ElementTree.fromstring(sensitivity_svg(pair, "Digits"))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert [texts.count(name) for name in ("a", "b", "toy (2 seeds)", "other (1 seed)", "preset")] == [1, 1, 1, 1, 2]
    assert len(paths(root, "line0")) == len(paths(root, "line1")) == 2 + 1  # two panels and the legend
    assert len(paths(root, "mark0")) == 2 * 3 + 1
    assert len(paths(root, "failed0")) == 1
    assert len(paths(root, "seed0")) == 2 * 3 * 2 - 1
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    for element in root.iter(f"{SVG}text"):
        assert 0 <= float(element.attrib["x"]) <= width
        assert 0 < float(element.attrib["y"]) < height
    for kind in ("line0", "line1", "mark0", "mark1"):
        for x, y in map(start_of, paths(root, kind)):
            assert 0 < x < width
            assert 0 < y < height


def test_svg__is_to_scale_on_the_logarithm_of_the_factor(pair: list[MethodStudy]) -> None:
    root = ElementTree.fromstring(sensitivity_svg(pair, "Digits"))
    _, line, _ = paths(root, "line0")
    (left, first), (middle, second), (right, third) = (
        tuple(map(float, place.split(" "))) for place in line.removeprefix("M").split("L")
    )
    assert middle == pytest.approx((left + right) / 2, abs=0.1)
    # means 85, 92 and 77 between the axis's ends of 10 and 100, in pixels downwards
    assert (second - first) / (third - second) == pytest.approx((92 - 85) / (77 - 92), abs=0.02)


def test_svg__more_panels_than_columns_go_below(make_study: MakeStudy) -> None:
    study = make_study("toy", {0: (90.0, 80.0, 70.0, 80.0, 70.0)})
    names = [f"losses.number_{index}.weight" for index in range(7)]
    varied = {(name, factor): study.varied[0]["a", factor] for name in names for factor in (0.1, 10.0)}
    many = replace(study, settings=dict.fromkeys(names, 1.0), varied={0: varied})
    root = ElementTree.fromstring(sensitivity_svg([many], "Digits"))
    places = {
        element.text: (float(element.attrib["x"]), float(element.attrib["y"]))
        for element in root.iter(f"{SVG}text")
        if element.text in names
    }
    assert len({x for x, _ in places.values()}) == 3
    assert len({y for _, y in places.values()}) == 3
    assert float(root.attrib["height"]) > max(y for _, y in places.values()) + 150


def test_svg__has_a_title_and_the_same_in_words(pair: list[MethodStudy]) -> None:
    root = ElementTree.fromstring(sensitivity_svg(pair, "Digits"))
    title, words = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-labelledby"].split() == [title.attrib["id"], words.attrib["id"]]
    assert title.text == "Digits"
    assert "toy, mean of 2 seeds, in percent: preset 92.0" in words.text
    assert "failed 12 of 100. a x0.1 85.0, x1 92.0, x10 77.0; b x0.1 92.0" in words.text


def test_svg__escapes_and_shortens_names_of_others(make_study: MakeStudy) -> None:
    study = make_study('<script>alert("x")</script>\x00', {0: (90.0, 80.0, 70.0, 80.0, 70.0)})
    key = "losses." + "a" * 60 + ".weight"
    varied = {(key, factor): study.varied[0]["a", factor] for factor in (0.1, 10.0)}
    text = sensitivity_svg([replace(study, settings={key: 1.0}, varied={0: varied})], "</title><script>", ident='"><x')
    root = ElementTree.fromstring(text)
    assert "<script" not in text
    shown = [element.text for element in root.iter(f"{SVG}text")]
    assert f"{key[:39]}..." in shown
    assert any(line.startswith('<script>alert("x")</script>\ufffd') for line in shown)


def test_svg__follows_light_and_dark_and_loads_nothing(pair: list[MethodStudy]) -> None:
    text = sensitivity_svg(pair, "Digits")
    light, _, dark = text.partition("@media(prefers-color-scheme:dark)")
    for rule in ("rect{fill:", "text{fill:", ".axis{stroke:", ".grid{stroke:", ".line0,", ".mark3,"):
        assert f".sensitivity {rule}" in light
        assert f".sensitivity {rule}" in dark
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert text == sensitivity_svg(pair, "Digits")


def test_svg__without_a_whole_seed_is_refused(make_study: MakeStudy) -> None:
    with pytest.raises(ValueError, match="no whole seed"):
        sensitivity_svg([make_study("toy", {0: (90.0, 80.0)})], "Digits")

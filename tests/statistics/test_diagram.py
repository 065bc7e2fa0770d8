"""The critical-difference diagram: whole XML, every method in it, everything inside the frame."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from dfkdbench.statistics.diagram import critical_difference_svg
from dfkdbench.statistics.ranks import RankTest, rank_methods

SVG = "{http://www.w3.org/2000/svg}"


def drawing_of(methods: int, tasks: int = 8) -> tuple[RankTest, ElementTree.Element]:
    test = rank_methods({f"method_{index}": [90.0 - index] * tasks for index in range(methods)})
    return test, ElementTree.fromstring(critical_difference_svg(test, "Digits"))


@pytest.mark.parametrize("methods", [3, 4, 9, 25])
def test_svg__every_method_once_and_inside_the_frame(methods: int) -> None:
    test, root = drawing_of(methods)
    texts = [element.text for element in root.iter(f"{SVG}text")]
    for name, rank in test.average_ranks.items():
        assert texts.count(f"{name} {rank:.2f}") == 1
    assert f"critical difference {test.critical_difference:.2f}" in texts
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    for element in root.iter(f"{SVG}text"):
        assert 0 <= float(element.attrib["x"]) <= width
        assert 0 < float(element.attrib["y"]) < height
    assert len([path for path in root.iter(f"{SVG}path") if path.attrib["class"] == "group"]) == len(test.groups)


def test_svg__places_ranks_and_the_difference_to_scale() -> None:
    test, root = drawing_of(5)
    paths = [path.attrib["d"] for path in root.iter(f"{SVG}path")]
    left, right = map(float, re.fullmatch(r"M([\d.]+) 62H([\d.]+)", paths[0]).groups())
    leaders = [float(found[1]) for path in paths if (found := re.match(r"M([\d.]+) 62V", path))]
    assert leaders == pytest.approx([left + (right - left) * place / 4 for place in range(5)], abs=0.1)
    bar = next(found for path in paths if (found := re.search(r"M([\d.]+) 20.*H([\d.]+)", path)))
    assert float(bar[2]) - float(bar[1]) == pytest.approx((right - left) / 4 * test.critical_difference, abs=0.2)


def test_svg__labels_do_not_lie_on_each_other() -> None:
    _, root = drawing_of(12)
    for anchor in ("start", "end"):
        rows = [float(text.attrib["y"]) for text in root.iter(f"{SVG}text") if text.attrib["text-anchor"] == anchor]
        assert all(abs(first - second) >= 15 for i, first in enumerate(rows) for second in rows[:i])


def test_svg__has_a_title_and_the_same_in_words() -> None:
    test, root = drawing_of(3)
    title, text = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-labelledby"].split() == [title.attrib["id"], text.attrib["id"]]
    assert title.text == "Digits"
    assert "Average ranks over 8 tasks, 1 is best: method_0 1.00, method_1 2.00, method_2 3.00." in text.text
    assert f"critical difference {test.critical_difference:.2f}" in text.text
    assert "Not told apart: method_0 and method_1; method_1 and method_2." in text.text


def test_svg__escapes_names_of_others() -> None:
    names = ['<script>alert("x")</script>', "a & b", "]]> \x00\x1b\ud800"]
    test = RankTest({name: float(rank) for rank, name in enumerate(names, 1)}, 8, 16.0, 0.0003, 1.17)
    text = critical_difference_svg(test, "</title><script>", ident='"><x')
    root = ElementTree.fromstring(text)
    assert "<script" not in text
    shown = [element.text for element in root.iter(f"{SVG}text")]
    assert f"{names[0]} 1.00" in shown
    assert "a & b 2.00" in shown
    assert "]]> \ufffd\ufffd\ufffd 3.00" in shown
    text.encode("utf-8")


def test_svg__same_ranks_same_bytes_and_no_address_but_its_namespace() -> None:
    test, _ = drawing_of(4)
    text = critical_difference_svg(test, "Digits")
    assert text == critical_difference_svg(test, "Digits")
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert len(text) < 8000

"""docs/cost.md and its drawing are what docs/cost.csv says, and exponents are what they are called."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def cost_page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cost_page", ROOT / "tools" / "cost_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page__is_what_the_file_says(cost_page: ModuleType) -> None:
    page = (DOCS / "cost.md").read_text(encoding="utf-8")
    assert page == cost_page.page(page), "run: python tools/cost_page.py"
    assert (DOCS / "cost.svg").read_text(encoding="utf-8") == cost_page.drawing(), "run: python tools/cost_page.py"


def test_drawing__has_every_axis_and_its_content_as_text(cost_page: ModuleType) -> None:
    lines, _ = cost_page.read()
    root = ElementTree.fromstring(cost_page.drawing())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {line.axis for line in lines} <= set(texts)
    described = root.findtext("{http://www.w3.org/2000/svg}desc")
    assert all(f"{line.work} against {line.axis}" in described for line in lines)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_exponent__is_that_of_the_largest_sizes(cost_page: ModuleType, power: float) -> None:
    line = cost_page.Line("axis", "work", (1, 10, 40), (5.0, 10.0**power, 40.0**power), (1.0, 1.0, 1.0))
    assert line.exponent(line.seconds) == pytest.approx(power)

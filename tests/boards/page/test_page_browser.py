"""The page in a real browser: sorting, filters, keyboard, both schemes, a phone's width, no error, no request."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install '.[browser]'")

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
QUICK = "digits-lenet_s-lenet_xs-quick"

pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no Chromium with chromedriver here: apt-get install chromium chromium-driver"
)

CONTRASTS = """
const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
const luminance = (rgb) => {
  const [r, g, b] = rgb.map((value) => {
    value /= 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const [r, g, b, a = 1] = numbers(getComputedStyle(at).backgroundColor);
    if (a === 1) return [r, g, b];
  }
};
const low = [];
for (const node of document.querySelectorAll("body *")) {
  if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
  if (!node.checkVisibility()) continue;
  const style = getComputedStyle(node);
  const ink = numbers(node instanceof SVGElement ? style.fill : style.color).slice(0, 3);
  const [one, other] = [luminance(ink), luminance(behind(node))].sort((a, b) => a - b);
  const contrast = (other + 0.05) / (one + 0.05);
  if (contrast < 4.5) low.push([node.outerHTML.slice(0, 90), contrast]);
}
return low;
"""

ROWS = """
return [...document.querySelectorAll(`#${arguments[0]} .ranking tbody`)].map((body) =>
  [...body.rows].filter((row) => row.checkVisibility() && row.cells.length > 1).map((row) =>
    row.querySelector("th").textContent));
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--force-prefers-reduced-motion"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    yield driver
    driver.quit()


Open = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any, shown: Any) -> Iterator[Open]:
    """Opens the page in a fresh tab; afterwards the console must be empty, and no request may have left the folder."""

    def open_page(width: int = 1280, scheme: str = "light", script: bool = True, place: str = "") -> Any:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
        chromium.get("about:blank")
        requests_of(chromium)
        chromium.get(shown.address + place)
        return chromium

    yield open_page
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    folder = shown.folder.as_uri()
    asked = [address for address in requests_of(chromium) if not address.startswith((folder, "data:", "about:"))]
    assert asked == []
    assert chromium.get_log("browser") == []


def requests_of(driver: Any) -> list[str]:
    """Addresses of everything that was loaded since they were last asked for."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]


def names(driver: Any, key: str = QUICK) -> list[list[str]]:
    """Names of the visible rows of a ranking, by league; the last ones are teacher and controls."""
    found: list[list[str]] = driver.execute_script(ROWS, key)
    return [[name.split(" --set")[0] for name in body] for body in found]


def heading(driver: Any, name: str) -> Any:
    """The heading of a column of the first ranking."""
    return next(
        head
        for head in driver.find_elements(By.CSS_SELECTOR, f"#{QUICK} .ranking thead th[scope=col]")
        if head.text.startswith(name)
    )


def choose(driver: Any, name: str, value: str) -> None:
    Select(driver.find_element(By.ID, f"filter-{name}")).select_by_value(value)
    settle(driver)


def settle(driver: Any) -> None:
    """Waits until the page has dealt with what was pressed and has been drawn again."""
    driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0]))")


def status(driver: Any) -> str:
    return str(driver.find_element(By.ID, "shown").text)


def visible_cells(driver: Any) -> list[str]:
    return [
        str(section.get_attribute("id"))
        for section in driver.find_elements(By.CSS_SELECTOR, "section.cell")
        if section.is_displayed()
    ]


def focused(driver: Any) -> Any:
    return driver.switch_to.active_element


def press(driver: Any, *keys: str) -> None:
    webdriver.ActionChains(driver).send_keys(*keys).perform()


def test_page__opens_from_a_file_and_shows_its_pictures(open_page: Open, attack: str) -> None:
    driver = open_page()
    assert driver.title == f"Toys {attack}"
    widths = driver.execute_script(
        "return Promise.all([...document.images].map((image) => { image.loading = 'eager';"
        "return image.decode().then(() => image.naturalWidth) }))"
    )
    assert widths == [4] * 6
    assert driver.execute_script("return window.pwned") is None


def test_sort__by_click_keeps_leagues_apart(open_page: Open) -> None:
    driver = open_page()
    ranked = [["alpha --replay bank", "alpha", "beta"], ["gamma", "delta"], ["digits-lenet_s-s0", "noise"]]
    assert names(driver) == ranked
    seconds = heading(driver, "Seconds")
    for order, first in (("ascending", ["alpha --replay bank", "beta", "alpha"]), ("descending", ["alpha", "beta"])):
        seconds.find_element(By.TAG_NAME, "button").click()
        assert seconds.get_attribute("aria-sort") == order
        assert names(driver)[0][: len(first)] == first
        assert names(driver)[1] == ["gamma", "delta"], "without a figure stays last in either order"
        assert [set(body) for body in names(driver)] == [set(body) for body in ranked]
        assert status(driver) == f"Sorted by Seconds, {order}."
    sorted_heads = driver.find_elements(By.CSS_SELECTOR, f"#{QUICK} .ranking [aria-sort]")
    assert [head.text for head in sorted_heads] == ["Seconds"]
    heading(driver, "Rank").find_element(By.TAG_NAME, "button").click()
    assert names(driver) == ranked


def test_sort__of_accuracy_starts_with_the_best_and_of_text_with_a(open_page: Open) -> None:
    driver = open_page()
    for name, first in (("At the end", "alpha --replay bank"), ("Method", "alpha")):
        heading(driver, name).find_element(By.TAG_NAME, "button").click()
        assert names(driver)[0][0] == first
    assert names(driver)[0] == ["alpha", "alpha --replay bank", "beta"]


def test_sort__with_the_keyboard(open_page: Open) -> None:
    driver = open_page()
    button = heading(driver, "Rank").find_element(By.TAG_NAME, "button")
    driver.execute_script("arguments[0].focus()", button)
    press(driver, Keys.TAB)
    assert focused(driver).text == "Method"
    press(driver, Keys.ENTER)
    assert heading(driver, "Method").get_attribute("aria-sort") == "ascending"
    press(driver, Keys.SPACE)
    assert heading(driver, "Method").get_attribute("aria-sort") == "descending"
    assert names(driver)[0] == ["beta", "alpha --replay bank", "alpha"]
    outline = driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_keyboard__reaches_the_tables_and_scrolls_them(open_page: Open) -> None:
    driver = open_page(width=390)
    press(driver, Keys.TAB)
    assert focused(driver).text == "Skip to the tables"
    assert focused(driver).is_displayed()
    box = driver.find_element(By.CSS_SELECTOR, f"#{QUICK} .scroll")
    driver.execute_script("arguments[0].focus()", box)
    assert focused(driver) == box
    press(driver, Keys.ARROW_RIGHT)
    driver.execute_async_script("setTimeout(arguments[0], 200)")
    assert driver.execute_script("return arguments[0].scrollLeft", box) > 0


@pytest.mark.parametrize(
    ("name", "value", "cells", "rows"),
    [
        ("pair", "digits resnet_s:resnet_xs", ["digits-resnet_s-resnet_xs-quick"], 1),
        ("budget", "long", ["digits-lenet_s-lenet_xs-long"], 1),
        ("league", "features", [QUICK, "digits-resnet_s-resnet_xs-quick"], 3),
        ("seeds", "3", [QUICK, "digits-lenet_s-lenet_xs-long", "digits-resnet_s-resnet_xs-quick"], 5),
        ("seeds", "1", [QUICK, "digits-lenet_s-lenet_xs-long", "digits-resnet_s-resnet_xs-quick"], 6),
        ("seeds", "10", [], 0),
    ],
)
def test_filter(open_page: Open, name: str, value: str, cells: list[str], rows: int) -> None:
    driver = open_page()
    assert len(visible_cells(driver)) == 4
    assert status(driver) == "All 7 rows are shown."
    choose(driver, name, value)
    assert visible_cells(driver) == cells
    assert status(driver) == f"{rows} of 7 rows are shown, and their controls."
    driver.find_element(By.CSS_SELECTOR, "#filters button").click()
    settle(driver)
    assert len(visible_cells(driver)) == 4
    assert status(driver) == "All 7 rows are shown."


def test_filter__acts_on_plots_and_cards_as_on_the_table(open_page: Open) -> None:
    driver = open_page()
    choose(driver, "league", "features")
    assert names(driver) == [[], ["gamma", "delta"], ["digits-lenet_s-s0", "noise"]]
    shown_marks = driver.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]} :is(.panel, .card, .cost g)`)]"
        ".filter((node) => node.getBoundingClientRect().width > 0).map((node) =>"
        " (node.querySelector('figcaption span, h4, title')).textContent.trim().split(/[ :]/)[0])",
        QUICK,
    )
    assert sorted(shown_marks) == sorted(["gamma", "noise"] + ["gamma", "noise"] * 2 + ["gamma", "delta", "noise"])
    driver.execute_script(f"document.querySelectorAll('#{QUICK} details').forEach((node) => {{ node.open = true }})")
    for summary in ("curves", "costs"):
        rows = driver.find_elements(By.CSS_SELECTOR, f"[aria-labelledby={QUICK}-{summary}-table] tbody th")
        assert [row.text for row in rows if row.is_displayed()] == ["gamma", "noise"]
    hidden = "return [...document.querySelectorAll(arguments[0])].map((node) => getComputedStyle(node).display)"
    assert driver.execute_script(hidden, f"#{QUICK} tr[data-league]:not([data-row])") == ["none"]
    assert driver.execute_script(hidden, f"#{QUICK} .front") == []
    choose(driver, "league", "soft-labels")
    assert driver.execute_script(hidden, f"#{QUICK} tr[data-league]:not([data-row])") == ["table-row"]


def test_filter__by_name_while_typing(open_page: Open) -> None:
    driver = open_page()
    driver.find_element(By.ID, "filter-name").send_keys("BANK")
    assert names(driver) == [["alpha --replay bank"], [], ["digits-lenet_s-s0", "noise"]]
    assert visible_cells(driver) == [QUICK]
    assert status(driver) == "1 of 7 rows are shown, and their controls."


def test_links__lead_to_rows_even_of_a_filtered_table(open_page: Open) -> None:
    driver = open_page()
    driver.find_element(By.CSS_SELECTOR, f"#{QUICK} .ranking tbody a").click()
    card = driver.find_element(By.CSS_SELECTOR, ".card:target")
    assert "alpha --replay bank" in card.text
    choose(driver, "league", "features")
    assert not card.is_displayed()
    driver.execute_script("location.hash = ''; location.hash = arguments[0]", card.get_attribute("id"))
    driver.execute_async_script("setTimeout(arguments[0], 50)")
    assert card.is_displayed()
    driver.execute_script("location.hash = '#%'")
    driver.execute_async_script("setTimeout(arguments[0], 50)")


def test_copy__takes_the_command(open_page: Open) -> None:
    driver = open_page()
    driver.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    box = driver.find_element(By.CSS_SELECTOR, ".command")
    command = driver.execute_script("return arguments[0].querySelector('code').textContent", box)
    assert command.startswith("dfkdbench run --plugin alpha --dataset digits ")
    button = box.find_element(By.TAG_NAME, "button")
    button.click()
    driver.execute_async_script("setTimeout(arguments[0], 100)")
    assert button.text == "Copied"
    assert driver.execute_script("return navigator.clipboard.readText()") == command


def background(driver: Any) -> list[int]:
    text = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    return [int(number) for number in text.removeprefix("rgb(").removesuffix(")").split(",")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_scheme__is_the_readers_and_can_be_read(open_page: Open, scheme: str) -> None:
    driver = open_page(scheme=scheme)
    driver.execute_script("document.querySelectorAll('details').forEach((node) => { node.open = true })")
    assert (min(background(driver)) > 200) == (scheme == "light")
    assert (max(background(driver)) < 50) == (scheme == "dark")
    assert driver.execute_script(CONTRASTS) == []


def test_scheme__can_be_chosen_and_is_kept(open_page: Open) -> None:
    driver = open_page(scheme="light")
    choose(driver, "theme", "dark")
    assert max(background(driver)) < 50
    driver = open_page(scheme="light")
    assert max(background(driver)) < 50
    choose(driver, "theme", "")
    assert min(background(driver)) > 200


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_width__never_scrolls_the_page(open_page: Open, width: int, script: bool) -> None:
    driver = open_page(width=width, script=script)
    metrics = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})
    assert metrics["cssContentSize"]["width"] <= width
    assert metrics["cssVisualViewport"]["scale"] == 1


def test_phone__wide_tables_scroll_in_their_own_box_under_names_that_stay(open_page: Open) -> None:
    driver = open_page(width=390)
    box = driver.find_element(By.CSS_SELECTOR, f"#{QUICK} .scroll")
    assert driver.execute_script("return arguments[0].scrollWidth > 2 * arguments[0].clientWidth", box)
    left = "return arguments[0].querySelector('tbody [data-row] th').getBoundingClientRect().left"
    before = driver.execute_script(left, box)
    driver.execute_script("arguments[0].scrollLeft = 400", box)
    assert driver.execute_script(left, box) == pytest.approx(before, abs=1)


def test_script_off__tables_plots_and_commands_are_there(open_page: Open) -> None:
    driver = open_page(script=False)
    for selector in (".ranking", ".panel svg", ".cost svg", ".card pre", ".card img"):
        assert all(node.is_displayed() for node in driver.find_elements(By.CSS_SELECTOR, selector)), selector
        assert driver.find_elements(By.CSS_SELECTOR, selector), selector
    assert not driver.find_element(By.ID, "filters").is_displayed()
    assert not [button for button in driver.find_elements(By.TAG_NAME, "button") if button.is_displayed()]


def test_screen_reader__finds_names_for_tables_plots_and_regions(open_page: Open) -> None:
    driver = open_page()
    nodes = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    by_role: dict[str, list[Any]] = {}
    for node in nodes:
        if not node.get("ignored"):
            by_role.setdefault(node["role"]["value"], []).append(node)
    for role in ("table", "image", "region", "button", "combobox", "searchbox", "article", "navigation"):
        found = by_role.get(role, [])
        assert found, role
        assert all(node["name"]["value"].strip() for node in found), role
    plots = [node for node in by_role["image"] if "accuracy" in node["name"]["value"]]
    assert len(plots) == 7 + 6
    heads = [node["name"]["value"] for node in by_role["columnheader"]]
    assert {"Rank", "Method", "Worst drop", "Teacher queries"} <= set(heads)


def test_committed_boards__open_without_an_error(chromium: Any) -> None:
    boards = sorted((Path(__file__).resolve().parents[3] / "leaderboards").glob("*/index.html"))
    assert boards
    for page in boards:
        requests_of(chromium)
        chromium.get(page.as_uri())
        folder = page.parent.as_uri()
        assert [address for address in requests_of(chromium) if not address.startswith((folder, "data:"))] == []
        assert chromium.get_log("browser") == []
        assert chromium.execute_script("return document.querySelectorAll('section.cell').length") > 0

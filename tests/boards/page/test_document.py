"""The page as markup: well formed, safe whatever entries say, complete without a script, the same bytes again."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.claims import Literature
from dfkdbench.boards.model import Board, Curve, LeftOut, Score
from dfkdbench.boards.outputs.page.document import LARGEST, page
from dfkdbench.boards.writing import build, stale_outputs

QUICK = "digits-lenet_s-lenet_xs-quick"
VOID = {"meta", "link", "img", "input"}


@dataclass
class Node:
    """An element of a parsed page."""

    tag: str
    attributes: dict[str, str | None]
    children: list[Node | str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Node]:
        """The element and everything in it."""
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child

    def all(self, tag: str, **attributes: str) -> list[Node]:
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            node
            for node in self
            if node.tag == tag and all((node.attributes.get(name) or "") == value for name, value in wanted.items())
        ]

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


class Tree(HTMLParser):
    """Parses strictly: every end tag closes the element that was opened last."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.root = Node("", {})
        self._open = [self.root]
        self.feed(html)
        self.close()
        assert self._open == [self.root], f"left open: {[node.tag for node in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}"
        node = Node(tag, dict(attrs))
        self._open[-1].children.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


@pytest.fixture
def root(shown: Any) -> Node:
    return Tree(shown.html).root


def with_words(board: Board, suffix: str) -> Board:
    """The board with something behind every text in it."""

    def changed(value: Any) -> Any:
        if isinstance(value, str):
            return value + suffix
        if isinstance(value, list):
            return [changed(item) for item in value]
        if isinstance(value, dict):
            return {key: item if key == "ranking" else changed(item) for key, item in value.items()}
        return value

    return Board.model_validate(changed(board.model_dump(mode="json", by_alias=True)))


def shapes(html: str) -> set[tuple[str, tuple[str, ...]]]:
    """Every kind of element with the names of its attributes."""
    return {(node.tag, tuple(sorted(node.attributes))) for node in Tree(html).root}


def test_entries_texts__become_no_markup(shown: Any, attack: str) -> None:
    hostile = page(with_words(shown.board, attack + "</code></td></style></svg>\u202e\x00"))
    assert shapes(hostile) <= shapes(page(with_words(shown.board, " x")))
    tree = Tree(hostile).root
    assert len(tree.all("script")) == 1
    assert "pwned" in tree.text
    assert "\u202e" not in hostile
    assert "\x00" not in hostile
    for node in tree:
        assert not [name for name in node.attributes if name.startswith("on") or name == "style"], node


def test_page__runs_its_own_script_and_loads_nothing(root: Node) -> None:
    (policy,) = (node.attributes["content"] for node in root.all("meta", http_equiv="Content-Security-Policy"))
    for tag in ("script", "style"):
        (own,) = root.all(tag)
        digest = base64.b64encode(hashlib.sha256(own.text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in str(policy)
    assert "default-src 'none'" in str(policy)
    loaded = [str(node.attributes.get("src") or "") for node in root if "src" in node.attributes]
    loaded += [str(node.attributes["href"]) for node in [*root.all("link"), *root.all("use")]]
    assert loaded
    assert all(re.match(r"\./entries/|data:|#", address) for address in loaded)
    assert "url(" not in root.all("style")[0].text


def test_links__of_other_schemes_are_none(root: Node) -> None:
    addresses = [str(node.attributes["href"]) for node in root.all("a") if "href" in node.attributes]
    assert all(re.match(r"#|\./|https://", address) for address in addresses)
    assert "https://example.org/paper" in addresses


def test_pictures__exist_and_have_a_text(root: Node, shown: Any) -> None:
    pictures = root.all("img")
    assert len(pictures) == 6
    for picture in pictures:
        assert (shown.folder / str(picture.attributes["src"])).is_file()
        assert str(picture.attributes["alt"]).startswith("Sample images of ")


def test_ids__are_unique_and_all_that_are_named_exist(root: Node) -> None:
    ids = [node.attributes["id"] for node in root if "id" in node.attributes]
    assert len(set(ids)) == len(ids)
    for node in root:
        names = (node.attributes.get("aria-labelledby") or "").split()
        names += [node.attributes["for"]] if "for" in node.attributes else []
        if (node.attributes.get("href") or "").startswith("#"):
            names.append((node.attributes["href"] or "")[1:])
        assert set(names) <= set(ids), node.attributes


def test_tables__have_captions_scopes_and_rows_of_one_width(root: Node) -> None:
    tables = root.all("table")
    assert len(tables) > 10
    for table in tables:
        (caption,) = table.all("caption")
        assert caption.words
        widths = set()
        for row in table.all("tr"):
            cells = [node for node in row if node.tag in ("th", "td")]
            widths.add(sum(int(cell.attributes.get("colspan") or 1) for cell in cells))
            assert all(cell.attributes.get("scope") for cell in cells if cell.tag == "th")
        assert len(widths) == 1
        for body in table.all("tbody"):
            for row in body.all("tr"):
                assert row.all("th"), "a row without a name"


def test_plots__have_title_description_and_a_table(root: Node) -> None:
    plots = root.all("svg", role="img")
    assert len(plots) == 7 + 6
    for plot in plots:
        title, text = plot.all("title")[0], plot.all("desc")[0]
        assert plot.attributes["aria-labelledby"] == f"{title.attributes['id']} {text.attributes['id']}"
        assert len(text.words) > 20
    for svg in root.all("svg"):
        assert (svg.attributes.get("role") == "img") != (svg.attributes.get("aria-hidden") == "true")
    summaries = [node.words for node in root.all("summary")]
    assert summaries.count("The curves as a table") == 3
    assert summaries.count("The plots as a table") == 3


def ranking_of(root: Node, key: str = QUICK) -> list[list[str]]:
    """The cells of a ranking's rows, titles among them."""
    (section,) = [node for node in root.all("section") if node.attributes.get("id") == key]
    rows = section.all("table", class_="ranking")[0].all("tbody")
    cells = [[node.words for node in row if node.tag in ("th", "td")] for body in rows for row in body.all("tr")]
    return [row[:3] for row in cells]


def test_ranks__are_inside_a_league_and_not_for_controls(root: Node) -> None:
    (teacher, unranked, *_), rows = ("teacher", "needs 3 seeds"), ranking_of(root)
    assert rows[0] == ["League soft-labelsmay see the teacher's class probabilities"]
    assert [row[0] for row in rows[1:4]] == ["1", "2", unranked]
    assert rows[1][2] == "97.00 ± 2.48"
    assert rows[4] == ["League featuresmay see the teacher's inner features"]
    assert rows[5][:2] == ["1", "gamma"]
    assert rows[6][0] == unranked
    assert rows[7] == ["Teacher and controlsno rank"]
    assert rows[8] == [teacher, "digits-lenet_s-s0", "99.00"]
    assert rows[9] == ["control", "noise", "51.00 ± 2.48"]


def test_page__says_everything_that_the_board_holds(root: Node, shown: Any) -> None:
    text = root.text
    for table in shown.board.tables:
        for row in table.rows:
            assert row.command in text
            assert all(score.run_id[-12:] in text for score in row.scores)
            assert all(failure.error in text and failure.status in text for failure in row.failures)
            assert all(machine in text for machine in row.hardware)
        assert all(f"{claim.value:.2f}" in text for claim in table.claims)
    assert "96.00 to 98.50" in text
    assert "Not pinned yet: no teacher, and so no entry." in text
    assert "plan.json and result.json are missing." in text


def test_claims__stand_beside_what_was_measured_and_say_what_they_are(root: Node) -> None:
    (section,) = [
        section for section in root.all("section") if section.children[0] in root.all("h3", id=f"{QUICK}-claims")
    ]
    rows = [[cell.words for cell in row.all("td")] for row in section.all("tbody")[0].all("tr")]
    assert [(row[0], row[1]) for row in rows] == [
        ("96.00 claim", "96.00 ± 2.48"),
        ("98.50 claim", "96.00 ± 2.48"),
        ("95.00 claim", "-"),
    ]
    assert [row[-1] for row in rows] == ["96.00 to 98.50", "96.00 to 98.50", "-"]


def test_hardware__that_differs_is_told_where_it_matters(root: Node) -> None:
    facts = [node.words for node in root.all("ul", class_="facts")]
    assert "Hardware: differs, see the rows" in facts[0]
    assert "Hardware: Toy CPU (2 cores)" in facts[1]
    heads = [[head.words for head in table.all("th", scope="col")] for table in root.all("table", class_="ranking")]
    assert ["Hardware" in head for head in heads] == [True, False, False]
    assert ["Claims of papers" in head for head in heads] == [True, False, False]
    assert root.text.count("Seconds are of different hardware.") == 1


def test_script_off__nothing_is_shown_that_needs_it(root: Node) -> None:
    assert not root.all("noscript")
    (form,) = root.all("form")
    assert "hidden" in form.attributes
    outside = {id(node) for node in form}
    assert not [node for node in root if node.tag in ("button", "input", "select") and id(node) not in outside]


def test_bytes__are_the_same_whatever_the_order_of_the_folder(toys: Path, literature: Literature, shown: Any) -> None:
    names = sorted((toys / "entries").iterdir())
    for path in names:
        path.rename(path.with_name(f"z{path.name}"))
    for path in reversed(names):
        path.with_name(f"z{path.name}").rename(path)
    assert page(load_board(toys, literature)) == shown.html


def test_build__writes_the_page_and_sees_when_it_is_stale(toys: Path) -> None:
    built = build(toys)
    first = (toys / "index.html").read_bytes()
    assert stale_outputs(toys, built) == []
    build(toys)
    assert (toys / "index.html").read_bytes() == first
    (toys / "index.html").write_bytes(first + b" ")
    assert stale_outputs(toys, built) == ["index.html"]


def test_size__of_a_board_of_thousands_of_rows(shown: Any) -> None:
    (table, *_) = shown.board.tables
    (ranking, *_) = table.rankings
    rows = tuple(ranking.rows[0].model_copy(update={"key": f"{place:012x}"}) for place in range(3000))
    rankings = (ranking.model_copy(update={"rows": rows}),)
    large = shown.board.model_copy(update={"tables": (table.model_copy(update={"rankings": rankings}),)})
    html = page(large)
    assert 0.05 * LARGEST < len(html.encode()) <= LARGEST
    kept = len(re.findall(r' data-seeds="', html))
    assert f"{3000 - kept:,} rows more are in results.csv." in html


def test_size__of_a_board_with_endless_texts_seeds_and_curves(shown: Any) -> None:
    (table, *_) = shown.board.tables
    (ranking, *_) = table.rankings
    row = ranking.rows[0]
    seeds = tuple(row.scores[0].model_copy(update={"seed": seed}) for seed in range(10_000))
    line = tuple(float(index % 100) for index in range(10_000))
    curve = Curve(samples=tuple(range(10_000)), queries=line, seconds=line, mean=line, low=line, high=line)
    texts = {"method": "m" * 50_000, "command": "dfkdbench run " + "x" * 200_000, "hardware": ("h" * 200,) * 500}
    huge = row.model_copy(update={"scores": seeds, "curve": curve, **texts})
    rankings = (ranking.model_copy(update={"rows": (huge,)}),)
    left_out = tuple(LeftOut(entry="e", message="m" * 200) for _ in range(10_000))
    tables = (table.model_copy(update={"rankings": rankings}),)
    html = page(shown.board.model_copy(update={"tables": tables, "left_out": left_out}))
    assert len(html.encode()) < LARGEST / 2
    assert "The rest of it is in data.json." in html
    assert "9,950 more; dfkdbench leaderboard check lists them" in html
    assert isinstance(seeds[0], Score)


def test_empty_board__has_a_page(toys: Path, literature: Literature) -> None:
    board = load_board(toys, literature)
    tables = tuple(
        table.model_copy(update={"rankings": (), "controls": (), "effects": (), "claims": ()}) for table in board.tables
    )
    root = Tree(page(board.model_copy(update={"tables": tables, "entries": 0}))).root
    assert "No entry yet." in root.text
    assert not root.all("table")

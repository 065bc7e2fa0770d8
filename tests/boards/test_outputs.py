"""Outputs: strangers' words stay words in every one of them, and the same entries give the same bytes."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.model import Board
from dfkdbench.boards.outputs import OUTPUTS
from dfkdbench.boards.outputs.escape import csv_text, markdown_code, markdown_text
from dfkdbench.boards.outputs.plain import data_schema
from dfkdbench.boards.writing import build, stale_outputs
from dfkdbench.errors import RunError
from dfkdbench.files import exclusive_lock
from dfkdbench.places import assets_folder

Make = Callable[..., Any]
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "https://evil.example",
    "| a | b |",
    "`code`",
    "**bold** _it_ ~~gone~~",
    "# heading",
    "&lt;b&gt;",
    "{{ site.secret }}",
    "\\input{/etc/passwd}",
    "$x^2$ & % # _ {} ~",
    "=HYPERLINK(1)",
    "@someone",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown__text_is_text(text: str) -> None:
    escaped = markdown_text(text)
    assert not re.search(r"(?<!\\)[<>|`*_\[\]{}#~$]", escaped.replace("&#64;", ""))
    assert "://" not in escaped
    assert "@" not in escaped


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown__code_ends_where_it_ends(text: str) -> None:
    code = markdown_code(text)
    assert code[0] == code[-1] == "`"
    assert "`" not in code[1:-1]
    assert not re.search(r"(?<!\\)\|", code)


@pytest.mark.parametrize("escape", [markdown_text, markdown_code, csv_text])
def test_every_escape__gives_one_line(escape: Callable[[str], str]) -> None:
    assert escape("a\nb\rc\td\u2028e\u202ef\x00g").isprintable()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "|calc", "%x", "\t=1", "\r=1", " =1"])
def test_csv__no_formula(text: str) -> None:
    assert csv_text(text).startswith("'")


@pytest.mark.parametrize("text", ["toy --replay bank", "a=b", "", "1"])
def test_csv__plain_text_stays(text: str) -> None:
    assert csv_text(text) == text


@pytest.fixture
def hostile(board: Path, make_entry: Make, keep_plain: Callable[..., None]) -> Path:
    """A board whose entries say hostile things wherever they may say anything."""
    keep_plain()
    for seed, text in enumerate(HOSTILE):
        made = make_entry(seed=0, settings={"precision": text, "nr": seed}, accuracy=50.0 + seed)
        made.result["hardware"] = text
        made.write(board)
        failed = make_entry(seed=1, settings={"precision": text, "nr": seed}, accuracy=[], status="failed")
        failed.result["error"] = f"{text}\n\n{text}"
        failed.write(board)
        make_entry(seed=2).write_to(board / "entries" / text.replace("/", "\N{DIVISION SLASH}"))
    return board


def test_hostile_board__markdown(hostile: Path) -> None:
    text = OUTPUTS["README.md"](load_board(hostile))
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    every = [inner for token in tokens for inner in (token, *(token.children or ()))]
    kinds = {token.type for token in every}
    assert {"code_inline", "table_open", "code_block"} <= kinds
    assert not kinds & {"html_inline", "html_block", "link_open", "image", "em_open", "strong_open", "fence"}
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    assert headings == [
        "Toys",
        "digits lenet\\_s:lenet\\_xs, quick",
        "League soft-labels",
        "Failures",
        "Commands that make these rows",
        "Left out",
    ]
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {15, 5}  # the ranking, and the failures
    (commands,) = (token.content for token in every if token.type == "code_block")
    assert len(commands.splitlines()) == len(HOSTILE)
    assert all(line.startswith("dfkdbench run --plugin toy ") for line in commands.splitlines())


def test_hostile_board__latex(hostile: Path) -> None:
    text = OUTPUTS["results.tex"](load_board(hostile))
    commands = set(re.findall(r"\\[a-zA-Z]+", text))
    assert commands == {
        *("\\begin", "\\end", "\\caption", "\\label", "\\usepackage", "\\toprule", "\\midrule", "\\bottomrule"),
        *("\\ensuremath", "\\textbackslash", "\\textasciitilde"),
    }
    rows = [line for line in text.splitlines() if line.rstrip().endswith("\\\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {7}


def test_hostile_board__csv(hostile: Path) -> None:
    rows = list(csv.reader(io.StringIO(OUTPUTS["results.csv"](load_board(hostile)))))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows) == 2 + len(HOSTILE)
    for cell in (cell for row in rows[1:] for cell in row):
        assert not cell.startswith(("=", "+", "@", "|", "%", "\t", "\r"))
        assert "\n" not in cell
        assert not cell.startswith("-") or float(cell) < 0


def test_hostile_board__json_fits_into_a_page(hostile: Path) -> None:
    text = OUTPUTS["data.json"](load_board(hostile))
    assert "<" not in text
    assert text.isascii()
    assert "<script>" in json.dumps(json.loads(text))


def test_data__is_the_model(hostile: Path) -> None:
    built = load_board(hostile)
    assert Board.model_validate_json(OUTPUTS["data.json"](built)) == built


def test_schema__that_ships_is_the_models() -> None:
    shipped = (assets_folder() / "boards" / "data.schema.json").read_text(encoding="utf-8")
    assert shipped == data_schema(), "write it anew from dfkdbench.boards.outputs.plain.data_schema()"


def test_schema__names_every_field_that_is_written(hostile: Path) -> None:
    schema = json.loads(data_schema())
    tree = json.loads(OUTPUTS["data.json"](load_board(hostile)))
    assert set(tree) == set(schema["properties"]) == set(schema["required"])
    row = tree["tables"][0]["rankings"][0]["rows"][0]
    assert set(row) == set(schema["$defs"]["Row"]["properties"]) == set(schema["$defs"]["Row"]["required"])


def test_build__same_entries_same_bytes_in_any_order_and_place(board: Path, make_entry: Make, tmp_path: Path) -> None:
    made = [make_entry(plugin, seed, 80.0 + seed) for plugin in ("toy", "other") for seed in range(3)]
    twin = tmp_path / "elsewhere" / "twin"
    twin.mkdir(parents=True)
    (twin / "leaderboard.toml").write_bytes((board / "leaderboard.toml").read_bytes())
    for each in made:
        each.write(board)
    for each in reversed(made):
        os.utime(each.write(twin) / "result.json", (0, 0))
    build(board)
    code = "import sys, pathlib; from dfkdbench.boards.writing import build; build(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7", "COLUMNS": "40"}
    subprocess.run([sys.executable, "-P", "-c", code, str(twin)], env=environment, check=True, cwd="/")
    for name in OUTPUTS:
        assert (board / name).read_bytes() == (twin / name).read_bytes()
        assert str(tmp_path).encode() not in (board / name).read_bytes()


def test_build__and_what_became_stale(board: Path, make_entry: Make) -> None:
    make_entry().write(board)
    assert stale_outputs(board, load_board(board)) == list(OUTPUTS)
    assert stale_outputs(board, build(board)) == []
    (board / "results.csv").write_text("mine")
    assert stale_outputs(board, load_board(board)) == ["results.csv"]
    make_entry(seed=1).write(board)
    assert stale_outputs(board, load_board(board)) == list(OUTPUTS)


def test_build__one_at_a_time(board: Path) -> None:
    with (
        exclusive_lock(board / "leaderboard.toml", ""),
        pytest.raises(RunError, match=r"Another build of .* is running. Run the same command again"),
    ):
        build(board)


def test_empty_board__has_every_output(board: Path) -> None:
    build(board)
    assert "No entry yet." in (board / "README.md").read_text()
    assert len((board / "results.csv").read_text().splitlines()) == 2


def test_controls_alone__are_shown(board: Path, make_entry: Make) -> None:
    make_entry("noise", distribution="dfkdbench").write(board)
    built = build(board)
    assert built.tables[0].rankings == ()
    assert "### Controls" in (board / "README.md").read_text()
    assert "noise" in (board / "results.tex").read_text()

"""A board with everything that a page can show, written by hand; some of its text is markup that wants to run."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.claims import Literature
from dfkdbench.boards.definition import FILE
from dfkdbench.boards.model import Board
from dfkdbench.boards.outputs.page.document import page
from dfkdbench.published import Figure, Source

MakeEntry = Callable[..., Any]

ATTACK = "\"'><script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
RULES = f"""
schema = 1
name = "toys"
title = {json.dumps("Toys " + ATTACK)}
description = {json.dumps("`code` and " + ATTACK)}
protocol = "2026.1"
minimum_seeds = 3

[[cells]]
dataset = "digits"
pair = "lenet_s:lenet_xs"
test_set_sha256 = "{"c" * 64}"
teachers = [{{ name = "digits-lenet_s-s0", sha256 = "{"b" * 64}", accuracy = 99.0 }}]
budgets = [
    {{ name = "quick", student_samples = 1000, teacher_queries = 6000, device_seconds = 60, evaluations = 3 }},
    {{ name = "long", student_samples = 4000, teacher_queries = 24000, device_seconds = 240, evaluations = 3 }},
]

[[cells]]
dataset = "digits"
pair = "resnet_s:resnet_xs"
test_set_sha256 = "{"c" * 64}"
teachers = [{{ name = "digits-resnet_s-s0", sha256 = "{"d" * 64}", accuracy = 99.0 }}]
budgets = [
    {{ name = "quick", student_samples = 1000, teacher_queries = 6000, device_seconds = 60, evaluations = 3 }},
]

[[cells]]
dataset = "digits"
pair = "resnet_s:wide"
budgets = [
    {{ name = "quick", student_samples = 1000, teacher_queries = 6000, device_seconds = 60, evaluations = 3 }},
]
"""
LONG = {"name": "long", "student_samples": 4000, "teacher_queries": 24000, "device_seconds": 240, "evaluations": 3}
FEATURES = {"access": ["soft_labels", "features"], "league": "features"}


class Shown(NamedTuple):
    """A board's folder, the board in it, and its page, which is also written there."""

    folder: Path
    board: Board
    html: str

    @property
    def address(self) -> str:
        """Of the page, as a browser opens a file."""
        return (self.folder / "index.html").as_uri()


def picture() -> bytes:
    """A grey PNG of 4 x 4 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\x00" + bytes(range(60, 100, 10)) for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def claim(method: str, value: float, **changes: Any) -> Figure:
    values: dict[str, Any] = {
        "paper": "toypaper",
        "kind": "paper",
        "claim": "own",
        "method": method,
        "reported_method": method.upper(),
        "setting": "",
        "variant": "",
        "dataset": "digits",
        "teacher": "lenet_s",
        "student": "lenet_xs",
        "metric": "accuracy",
        "epoch": "best",
        "code_epoch": "best",
        "value": value,
        "teacher_accuracy": 99.5,
        "scratch_accuracy": None,
        "seeds": None,
        "source": "https://example.org/paper",
        "locator": "Table 1",
        "notes": "",
        "records": 1,
    }
    return Figure(**{**values, **changes})


@pytest.fixture
def attack() -> str:
    """Text that runs a script where it is not escaped."""
    return ATTACK


@pytest.fixture
def literature() -> Literature:
    """What papers claim of the toys: two that disagree, and one that is markup."""
    figures = [
        claim("alpha", 98.5),
        claim("alpha", 96.0, paper="other", claim="other"),
        claim(
            "alpha", 95.0, setting=ATTACK, locator=ATTACK, source="javascript:window.pwned=1", reported_method=ATTACK
        ),
    ]
    return Literature(figures, {"toypaper": Source("toypaper", "paper", ("alpha",), f"Toy et al. {ATTACK}")})


@pytest.fixture
def toys(board: Path, make_entry: MakeEntry, keep_plain: Callable[..., None]) -> Path:
    """The board's folder.

    lenet, quick: in soft-labels `alpha` with 95, 96, 97 and 30 seconds, `alpha --replay bank` a point above with 10
    seconds, `beta` with two seeds; in features `gamma` with 97, 97.2, 97.4, `delta` whose only seed diverged; `noise`.
    lenet, long, and resnet, quick: one row each. resnet_s:wide is not pinned.
    """
    folder = board
    (folder / FILE).write_text(RULES, encoding="utf-8")
    for method in ("alpha", "beta", "gamma", "delta"):
        keep_plain(method)
    keep_plain("noise", distribution="dfkdbench")

    def write(plugin: str, accuracies: list[float], seconds: float = 20.0, record: Any = None, **entry: Any) -> None:
        for seed, accuracy in enumerate(accuracies):
            changes = {"train_seconds": seconds, **(record or {})}
            made = make_entry(plugin, seed=seed, accuracy=accuracy, **entry).changed(result=changes)
            place = made.write(folder)
            if seed == 0 and plugin != "beta":
                (place / "samples.png").write_bytes(picture())

    resnet = {"pair": "resnet_s:resnet_xs", "teachers": [{"name": "digits-resnet_s-s0", "sha256": "d" * 64}]}
    write("alpha", [95.0, 96.0, 97.0], 30.0)
    write("alpha", [96.0, 97.0, 98.0], 10.0, parts={"replay": "bank"}, record={"hardware": f"CPU {ATTACK}"[:190]})
    write("beta", [80.0, 81.0], settings={"note": ATTACK})
    write("gamma", [97.0, 97.2, 97.4], 5.5, **FEATURES)
    write("noise", [50.0, 51.0, 52.0], distribution="dfkdbench")
    write("alpha", [98.0, 98.1, 98.2], budget=LONG)
    write("gamma", [60.0, 61.0, 62.0], **FEATURES, **resnet)
    diverged = make_entry("delta", accuracy=[], status="diverged", **FEATURES)
    diverged.changed(result={"error": f"loss {ATTACK}"}).write(folder)
    broken = folder / "entries" / "broken"
    broken.mkdir()
    return folder


@pytest.fixture
def shown(toys: Path, literature: Literature) -> Shown:
    """The page of the toys."""
    board = load_board(toys, literature)
    assert [left.entry for left in board.left_out] == ["broken"]
    html = page(board)
    (toys / "index.html").write_text(html, encoding="utf-8")
    return Shown(toys, board, html)

"""Entries with junk in random places: each is taken or told, and neither building nor writing ever fails."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.entries import scan_entries
from dfkdbench.boards.outputs import OUTPUTS

Make = Callable[..., Any]
JUNK = (None, True, 0, -1, 2**62, 1e308, -0.5, "", "x", "none", "\u202e`|<b>", [], [[]], {}, {"a": {"b": []}}, ["kl"])
ROUNDS = 150


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a tree with each of its keys."""
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in list(keys):
        yield tree, key
        yield from places(tree[key])


def spoil(tree: Any, chance: random.Random) -> None:
    """Replaces, removes or adds a value somewhere."""
    container, key = chance.choice(list(places(tree)))
    act = chance.random()
    if act < 0.7:
        container[key] = chance.choice(JUNK)
    elif act < 0.85:
        del container[key]
    elif isinstance(container, dict):
        container[f"new{chance.randrange(9)}"] = chance.choice(JUNK)


@pytest.mark.parametrize("spoilt", ["plan", "result"])
def test_junk__breaks_nothing(board: Path, make_entry: Make, keep_plain: Callable[..., None], spoilt: str) -> None:
    keep_plain(parts={"losses": {"one_hot": 1.0}})
    chance = random.Random(20261)
    written = 0
    for number in range(ROUNDS):
        made = make_entry(
            seed=number % 7,
            parts={"losses": {"one_hot": 1.0}},
            settings={"batch_size": number, "phases": {"distil": {"losses": ["one_hot"]}}},
        )
        for _ in range(chance.choice((1, 1, 1, 3))):
            spoil(getattr(made, spoilt), chance)
        try:
            made = made.changed()
        except (KeyError, TypeError):  # no id can be made of what is left
            continue
        folder = board / "entries" / made.run_id
        if folder.parent != board / "entries" or folder.exists() or not made.run_id.isprintable():
            continue
        made.write(board)
        written += 1
    entries, problems = scan_entries(board)
    assert written > ROUNDS / 2
    assert len(entries) + len(problems) == written
    assert len(entries) > 5
    assert len(problems) > 5
    built = load_board(board)
    assert all(write(built) for write in OUTPUTS.values())

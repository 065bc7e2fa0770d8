"""Plain settings that a board keeps: strangers' files too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.methods import MethodKey, plain_method, read_plain_methods
from dfkdbench.registry import Registry

Make = Callable[..., Any]
FILE = "toy-1-digits-lenet_s-lenet_xs-quick.json"
KEY = MethodKey("noise", "dfkdbench", "1", "digits", "lenet_s:lenet_xs", "standard")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"schema": 1', '"schema": 2', "It holds no plain settings of a method: schema is 2"),
        ('"plugin": "toy"', '"plugin": "other"', "that belong into toy-lab/other-1-digits-lenet_s-lenet_xs-quick.json"),
        ('"plugin": "toy"', '"plugin": "../toy"', "It holds no plain settings of a method: plugin is '../toy'"),
        ('"recipe": {"generator"', '"recipe": {"x"', "It holds no plain settings of a method: generator is missing"),
        ("{", "", "is no whole JSON file"),
    ],
)
def test_plain_settings__that_do_not_hold(
    board: Path, keep_plain: Callable[..., None], make_entry: Make, old: str, new: str, told: str
) -> None:
    keep_plain()
    path = board / "methods" / "toy-lab" / FILE
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    recipes, (problem,) = read_plain_methods(board)
    assert recipes == {}
    assert (problem.entry, told in problem.message) == (f"methods/toy-lab/{FILE}", True), problem.message
    make_entry().write(board)
    built = load_board(board)
    assert (built.entries, len(built.left_out)) == (1, 1)
    assert not built.tables[0].rows[0].plain_known


def test_plain_method__is_that_of_the_cell(registry: Registry) -> None:
    found = plain_method(KEY, registry)
    assert found is not None
    assert (found.recipe["batch_size"], found.recipe["student"]["lr"]) == (64, 0.005)
    elsewhere = plain_method(KEY._replace(dataset="mnist", pair="lenet5:lenet5_half"), registry)
    assert elsewhere is not None
    assert elsewhere.recipe["batch_size"] == 128
    assert json.loads(json.dumps(found.recipe)) == found.recipe


@pytest.mark.parametrize("change", [{"plugin": "none-such"}, {"distribution": "other"}, {"method_version": "9"}])
def test_plain_method__of_something_that_is_not_installed(registry: Registry, change: dict[str, str]) -> None:
    assert plain_method(KEY._replace(**change), registry) is None

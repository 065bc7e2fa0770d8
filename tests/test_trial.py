"""The trial of a captured round: where two states differ."""

from __future__ import annotations

import torch

from dfkdbench.trial import first_difference


def test_first_difference__names_the_place() -> None:
    tree = {"a": [torch.zeros(2), 1], "b": {"c": None, "d": 0.5}}
    assert first_difference(tree, {"a": [torch.zeros(2), 1], "b": {"c": None, "d": 0.5}}) == ""
    assert first_difference(tree, {**tree, "a": [torch.tensor([0.0, -1.0]), 1]}) == "a.0"
    assert first_difference(tree, {**tree, "a": [torch.zeros(2, dtype=torch.float64), 1]}) == "a.0"
    assert first_difference(tree, {**tree, "a": [torch.zeros(2), True]}) == "a.1"
    assert first_difference(tree, {**tree, "b": {"c": None}}) == "b.d"
    assert first_difference(tree, {**tree, "e": 1}) == "e"

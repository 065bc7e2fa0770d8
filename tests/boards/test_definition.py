"""The rules of a board: what they may say, and what a mistake in them is told as."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfkdbench.boards.definition import FILE, read_definition
from dfkdbench.errors import ConfigError


def test_rules__are_read(board: Path) -> None:
    definition = read_definition(board)
    assert (definition.name, definition.minimum_seeds, definition.league) == ("toys", 3, "every")
    ((cell, tier),) = definition.tables()
    assert (cell.title, cell.is_open, tier.student_samples) == ("digits lenet_s:lenet_xs", False, 1000)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("schema = 1", "schema = 2", "has schema 2; this dfkdbench reads up to 1. Take a newer dfkdbench."),
        ("schema = 1", "", "schema is missing."),
        ('name = "toys"', 'nmae = "toys"', "there is no key 'nmae'. Did you mean 'name'?"),
        ("minimum_seeds = 3", "minimum_seed = 3", "no key 'minimum_seed'. Did you mean 'minimum_seeds'? There are:"),
        ("minimum_seeds = 3", "minimum_seeds = 0", "minimum_seeds is 0; Input should be greater than or equal to 1."),
        ("minimum_seeds = 3", "minimum_seeds = true", "minimum_seeds is True; Input should be a valid integer."),
        ("minimum_seeds = 3", 'ranking = "accuracy_oracle"', "ranking is 'accuracy_oracle'; Input should be 'acc"),
        ("minimum_seeds = 3", 'league = "soft-label"', "'soft-label' is no league. Did you mean 'soft-labels'?"),
        ('protocol = "2026.1"', 'protocol = "new"', "protocol is 'new'; String should match pattern"),
        ('pair = "lenet_s:lenet_xs"', 'pair = "lenet_s"', "cells.0.pair is 'lenet_s'; String should match pattern"),
        ("evaluations = 3", "evaluation = 3", "no key 'evaluation'. Did you mean 'evaluations'?"),
        ("evaluations = 3", "evaluations = 3, more = 1", "There are: name, student_samples, teacher_queries,"),
        ("accuracy = 99.0", "accuracy = 990", "cells.0.teachers.0.accuracy is 990"),
        ("accuracy = 99.0", "accuracy = 99.0, seed = 1", "no key 'seed'. There are: name, sha256, accuracy."),
        ("accuracy = 99.0", "accuracy = nan", "cells.0.teachers.0.accuracy is nan"),
        ('sha256 = "b', 'sha256 = "B', "cells.0.teachers.0.sha256 is 'B"),
        ("[[cells]]", "[cells]", "cells is {"),
        ("[[cells]]", "[[cells", "Can't read "),
    ],
)  # fmt: skip
def test_rules__with_a_mistake(board: Path, old: str, new: str, told: str) -> None:
    text = (board / FILE).read_text()
    assert old in text
    (board / FILE).write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read_definition(board)
    assert told in caught.value.message
    assert str(board / FILE) in caught.value.message


def test_rules__with_a_cell_twice(board: Path) -> None:
    text = (board / FILE).read_text()
    (board / FILE).write_text(text + text[text.index("[[cells]]") :])
    with pytest.raises(ConfigError, match="the cell digits lenet_s:lenet_xs, or a budget of it, stands there twice"):
        read_definition(board)


def test_no_board(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a leaderboard.toml there. Make one with: dfkdbench leaderboard i"):
        read_definition(tmp_path / "none")

"""Older records, brought to the schema of today: in memory by every reader, on disk by `leaderboard migrate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dfkdbench.errors import IntegrityError
from dfkdbench.records import SCHEMA

Tree = dict[str, Any]


def schema_of(tree: Tree) -> int:
    """The schema number of a record; 0 where it has none.

    Raises:
        IntegrityError: It is no number, or one of a later version of the suite.
    """
    number = tree.get("schema_version", 0)
    if type(number) is not int or number < 0:
        raise IntegrityError("schema_version is no whole number from 0 on.")
    if number > SCHEMA:
        raise IntegrityError(
            f"result.json has schema {number}; this dfkdbench reads up to {SCHEMA}. Take a newer dfkdbench."
        )
    return number


def migrated(tree: Tree, steps: Mapping[int, Callable[[Tree], Tree]] | None = None) -> Tree:
    """A record at the schema of today; the given one is left as it is.

    Raises:
        IntegrityError: As `schema_of`, or it is not what its number says.
    """
    number, steps = schema_of(tree), STEPS if steps is None else steps
    while number < SCHEMA:
        try:
            tree = steps[number](tree)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise IntegrityError(f"result.json is no record of schema {number}: {error!r}.") from None
        number += 1
        tree["schema_version"] = number
    return tree


def _number(tree: Tree) -> Tree:
    """0 to 1: evaluations are numbered, and say what the replay memory held."""
    evaluations = [
        {"index": index, "replay_bytes": 0, **evaluation} for index, evaluation in enumerate(tree["evaluations"])
    ]
    return {**tree, "evaluations": evaluations}


STEPS: dict[int, Callable[[Tree], Tree]] = {0: _number}
"""What takes a record from a schema number to the next; there is one for every number before that of today."""

"""Pairs of architectures as users write them: teacher:student, each qualified where two distributions claim it."""

from __future__ import annotations

from collections.abc import Sequence

from dfkdbench.descriptors import ModelSpec
from dfkdbench.errors import PlanError, UnknownNameError, choices, nearest
from dfkdbench.registry import LIST_COMMANDS, Owned, Registry


def find_pair(registry: Registry, text: str, suggested: Sequence[str]) -> tuple[Owned[ModelSpec], Owned[ModelSpec]]:
    """Teacher and student of "teacher:student", where each may be "distribution:name".

    Args:
        suggested: Pairs of the data set, for the error message.

    Raises:
        PlanError: The text is no pair.
        UnknownNameError: No such model.
    """
    pieces = text.split(":")
    halves = [(":".join(pieces[:cut]), ":".join(pieces[cut:])) for cut in range(1, len(pieces))]
    possible = [half for half in halves if all(name.count(":") <= 1 and name.strip(":") for name in half)]
    refusals = []
    for teacher, student in possible:
        try:
            return registry.models.get(teacher), registry.models.get(student)
        except UnknownNameError as refusal:
            refusals.append(refusal)
    if refusals:
        raise refusals[0]
    raise PlanError(
        f"--pair takes TEACHER:STUDENT, given '{text}'.{nearest(text, suggested)} "
        f"{choices(suggested, LIST_COMMANDS['dataset'])}"
    )

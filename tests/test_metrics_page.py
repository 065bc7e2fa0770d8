"""docs/metrics.md explains every field of a record, and no field that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dfkdbench.records import Evaluation, Result

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
FIELDS = {*Result.model_fields, *Evaluation.model_fields}


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_field__is_explained(field: str) -> None:
    assert f"`{field}`" in PAGE


def test_tables__explain_fields_alone() -> None:
    first_cells = re.findall(r"^\| (`[^|]*`) \|", PAGE, re.MULTILINE)
    explained = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert len(explained) >= 25
    assert explained <= FIELDS


def test_frechet_distance__is_called_by_its_name() -> None:
    """Teacher features are no Inception features: the one mention of the other name says that it is another thing."""
    assert re.findall(r"\S+ \S+ FID\b", PAGE) == ["is not FID"]

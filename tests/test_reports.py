"""The worker's reports: whole lines as they come, and nothing that is no JSON object."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfkdbench.errors import IntegrityError
from dfkdbench.reports import ReportReader


def test_new__gives_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "reports"
    path.write_bytes(b'{"a": 1}\n{"b"')
    reader = ReportReader(path)
    assert list(reader.new()) == [{"a": 1}]
    assert list(reader.new()) == []
    with path.open("ab") as file:
        file.write(b': 2}\n{"c": 3}\n')
    assert list(reader.new()) == [{"b": 2}, {"c": 3}]


@pytest.mark.parametrize(
    ("line", "message"), [(b"{", "no JSON line"), (b"\xff", "no JSON line"), (b"[1]", "no JSON object")]
)
def test_new__gives_what_came_before_a_bad_line(line: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "reports"
    path.write_bytes(b'{"a": 1}\n' + line + b"\n")
    reports = ReportReader(path).new()
    assert next(reports) == {"a": 1}
    with pytest.raises(IntegrityError, match=message):
        next(reports)


def test_new__refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        list(ReportReader(tmp_path).new())

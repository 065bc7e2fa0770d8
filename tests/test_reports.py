"""The worker's reports: whole lines as they come, and nothing in them that a report does not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dfkdbench.errors import IntegrityError
from dfkdbench.reports import ReportReader, checked, plain

SPENT = {
    "seconds": 1.5,
    "fraction": 0.5,
    "peak_memory_mb": 300.0,
    "replay_bytes": 0,
    "student_steps": 1,
    "student_samples": 32,
    "teacher_queries": 32,
    "generator_steps": 0,
    "losses": {"kl": 0.5},
}
GOOD: list[dict[str, Any]] = [
    {"event": "progress", **SPENT},
    {"event": "snapshot", "index": 0, **SPENT},
    {"event": "end", "status": "finished", "error": "", **SPENT},
    {"event": "end", "status": "failed", "error": "ValueError: no"},
    {"event": "resumed", "student_steps": 3},
    {"event": "refused", "error": "It does not fit."},
]


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
    ("line", "message"),
    [
        (b"{\n", "no JSON line"),
        (b"\xff\n", "no JSON line"),
        (b'{"a": NaN}\n', "no JSON line"),
        (b'{"a": -Infinity}\n', "no JSON line"),
        (b'{"a": ' + b"9" * 5000 + b"}\n", "no JSON line"),
        (b"[" * 100_000 + b"\n", "no JSON line"),
        (b"[1]\n", "no JSON object"),
        (b" " * (1 << 20) + b"x", "a line of more than 1,048,576 bytes"),
    ],
)
def test_new__gives_what_came_before_a_bad_line(line: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "reports"
    path.write_bytes(b'{"a": 1}\n' + line)
    reports = ReportReader(path).new()
    assert next(reports) == {"a": 1}
    with pytest.raises(IntegrityError, match=message):
        next(reports)


def test_cut_torn__lets_the_next_start_begin_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "reports"
    path.write_bytes(b'{"a": 1}\n{"b": 2')
    reader = ReportReader(path)
    assert list(reader.new()) == [{"a": 1}]
    reader.cut_torn()
    with path.open("ab") as file:
        file.write(b'{"c": 3}\n')
    assert list(reader.new()) == [{"c": 3}]
    reader.cut_torn()
    assert path.read_bytes() == b'{"a": 1}\n{"c": 3}\n'


def test_cut_torn__follows_no_link(tmp_path: Path) -> None:
    path, precious = tmp_path / "reports", tmp_path / "precious"
    path.write_bytes(b"torn")
    precious.write_bytes(b"precious")
    reader = ReportReader(path)
    assert not list(reader.new())
    path.unlink()
    path.symlink_to(precious)
    with pytest.raises(IntegrityError, match="Can't open"):
        reader.cut_torn()
    assert precious.read_bytes() == b"precious"


def test_new__refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        list(ReportReader(tmp_path).new())


@pytest.mark.parametrize("report", GOOD, ids=lambda report: str(report["event"]))
def test_checked__lets_through_what_a_session_says(report: dict[str, Any]) -> None:
    assert checked(report) == report


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"event": "accuracy"}, "none of progress, snapshot, end, resumed, refused"),
        ({"event": ["progress"]}, "none of progress"),
        ({"seconds": -1.0}, "seconds: Input should be greater than or equal to 0"),
        ({"seconds": 1e400}, "seconds: Input should be"),
        ({"seconds": 10**400}, "seconds: "),
        ({"seconds": "1"}, "seconds: Input should be a valid number"),
        ({"fraction": 1.5}, "fraction: Input should be less than or equal to 1"),
        ({"student_samples": 1 << 60}, "student_samples: Input should be less than"),
        ({"student_samples": True}, "student_samples: Input should be a valid integer"),
        ({"student_samples": 1.0}, "student_samples: Input should be a valid integer"),
        ({"index": -1}, "index: Input should be greater than or equal to 0"),
        ({"index": None}, "index: Input should be a valid integer"),
        ({"losses": {"kl": "low"}}, "losses.kl: Input should be a valid number"),
        ({"accuracy\x1b[2J": 99.0}, r"accuracy \[2J: Extra inputs are not permitted"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_checked__names_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        checked({"event": "snapshot", "index": 0, **SPENT, **changes})


def test_checked__an_end_has_one_of_five_states_and_a_harmless_text() -> None:
    end = {"event": "end", "status": "failed", "error": "\x1b[31mred\nline\ud800" + "x" * 3000}
    text = checked(end)["error"]
    assert text.startswith(" [31mred line x")
    assert len(text) == 2000
    with pytest.raises(IntegrityError, match="status: Input should be 'finished', 'diverged'"):
        checked(end | {"status": "excellent"})


def test_plain__keeps_letters_of_every_script() -> None:
    assert plain("Größe ≥ 0 … 好") == "Größe ≥ 0 … 好"

"""Whether rounds are captured, and what is said where they are not."""

from __future__ import annotations

import pytest
from capturing import planned

from dfkdbench.capture import build_rounds, in_short, why_eager
from dfkdbench.reports import Capture
from dfkdbench.shortcuts import SHORTCUTS, use_shortcuts
from dfkdbench.timing.untrained import untrained_assembly


@pytest.mark.usefixtures("shortcuts")
@pytest.mark.parametrize(
    ("plugin", "mode", "plain", "changes", "why"),
    [
        ("dafl", "auto", False, {}, "there is no CUDA device"),
        ("dafl", "graph", False, {}, "there is no CUDA device"),
        ("dafl", "off", False, {}, "capture is off"),
        ("dafl", "graph", True, {}, "the run is plain, without exact shortcuts"),
        ("dafl", "graph", False, {"device": "cuda", "loop": "a:b"}, "the method has a loop of its own"),
        ("noise", "graph", False, {"device": "cuda"}, "the teachers answer from another process"),
        ("dafl", "graph", False, {"device": "cuda:1"}, ""),
    ],
)
def test_why_eager(plugin: str, mode: str, plain: bool, changes: dict[str, str], why: str) -> None:
    use_shortcuts(() if plain else SHORTCUTS)
    assert why_eager(planned(plugin).model_copy(update=changes), mode) == why


def test_in_short__one_line_that_reports_can_hold() -> None:
    told = in_short(ValueError("x" * 10_000 + "\nmore"))
    assert told.startswith("ValueError: xxx")
    assert Capture(state="eager", why=told).told() == f"eager: {told}"


def test_build_rounds__eager_ones_are_the_loops_own() -> None:
    with untrained_assembly(planned("dafl")) as assembly:
        rounds = build_rounds(assembly, "auto")
        rounds.advance()
        assert assembly.meter.student_steps == 1
        assert rounds.capture.told() == "eager: there is no CUDA device"

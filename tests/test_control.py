"""The control on real data: the whole training set is held, so a set that is too large is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfkdbench import control
from dfkdbench.bench import Request
from dfkdbench.datasets.digits import load_digits
from dfkdbench.errors import DataError, PlanError
from dfkdbench.launch import Launch
from dfkdbench.lookup import look_up
from dfkdbench.plan import Plan, make_plan
from dfkdbench.registry import load_registry
from dfkdbench.runfolder import RunFolder
from dfkdbench.session import EXIT_ENDED_WITH_STATUS

BYTES = 4 * 1297 * 16 * 16


def digits_plan() -> Plan:
    method, cell, resolved = look_up(load_registry(), Request(plugin="real-data", dataset="digits", budget="smoke"))
    return make_plan(method, resolved, cell, {"t": ""}, 0, "cpu", "")


def test_all_samples__are_the_training_set_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST_BYTES", BYTES)
    assert control._all_samples(load_digits(None, train=True), digits_plan()).images.shape == (1297, 1, 16, 16)


def test_all_samples__of_a_larger_set_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST_BYTES", BYTES - 1)
    with pytest.raises(PlanError, match=r"'real-data' holds the 1,297 training images of digits as float32"):
        control._all_samples(load_digits(None, train=True), digits_plan())


def test_main__training_files_that_cannot_be_read_are_told_to_the_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object, **__: object) -> None:
        raise DataError("Data set 'digits': the files are damaged.")

    monkeypatch.setattr(control, "die_with_parent", lambda: None)
    monkeypatch.setattr(control, "say_ready", lambda _: None)
    monkeypatch.setattr(control, "load_dataset", unreadable)
    folder = RunFolder(tmp_path)
    folder.create()
    folder.plan.write_text(digits_plan().model_dump_json(), encoding="utf-8")
    launch = Launch(
        teacher_weights=(), threads=1, checkpoint_seconds=1.0, report_seconds=1.0, isolation="none", policy=""
    )
    folder.launch.write_text(launch.model_dump_json(), encoding="utf-8")
    assert control.main(tmp_path) == EXIT_ENDED_WITH_STATUS
    (report,) = [json.loads(line) for line in folder.reports.read_text(encoding="utf-8").splitlines()]
    assert (report["event"], report["error"]) == ("refused", "Data set 'digits': the files are damaged.")

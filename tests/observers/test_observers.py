"""Observers of the suite: chosen by name, told what every observer is told, and gone afterwards."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pluggy
import pytest
from click.testing import CliRunner

from dfkdbench.cli import main
from dfkdbench.errors import ConfigError, UnknownNameError
from dfkdbench.observers import observing, open_observer
from dfkdbench.registry import Registry, load_registry

RUN = ("run", "--plugin", "noise", "--dataset", "digits", "--budget", "smoke", "--threads", "1")


def tell(manager: pluggy.PluginManager) -> None:
    manager.hook.dfkdbench_run_started(run_id="r1", plan={"seed": 0}, isolation="none")
    manager.hook.dfkdbench_report(run_id="r1", report={"student_steps": 5, "losses": {"kl": 0.5}})
    manager.hook.dfkdbench_evaluated(run_id="r1", evaluation={"student_steps": 5, "accuracy": 90.0})
    manager.hook.dfkdbench_run_finished(run_id="r1", result={"status": "finished"})


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_jsonl__one_line_an_event(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "new" / "events.jsonl"
    with observing(registry.manager, [f"jsonl:{file}"]):
        tell(registry.manager)
    assert lines(file) == [
        {"event": "run_started", "run_id": "r1", "plan": {"seed": 0}, "isolation": "none"},
        {"event": "report", "run_id": "r1", "report": {"student_steps": 5, "losses": {"kl": 0.5}}},
        {"event": "evaluated", "run_id": "r1", "evaluation": {"student_steps": 5, "accuracy": 90.0}},
        {"event": "run_finished", "run_id": "r1", "result": {"status": "finished"}},
    ]
    tell(registry.manager)
    assert len(lines(file)) == 4


def test_jsonl__of_a_run(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    done = CliRunner().invoke(main, [*RUN, "--out", str(tmp_path / "runs"), "--observer", f"jsonl:{file}"])
    assert done.exit_code == 0, done.output
    events = lines(file)
    assert [event["event"] for event in events if event["event"] != "report"] == [
        "run_started",
        "evaluated",
        "evaluated",
        "run_finished",
    ]
    (folder,) = (tmp_path / "runs").iterdir()
    assert {event["run_id"] for event in events} == {folder.name}
    assert events[-1]["result"] == json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert load_registry().manager.get_plugin(f"observer jsonl:{file}") is None


def test_observer__unknown_and_unwritable(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown observer 'json'\. Did you mean 'jsonl'\?"):
        open_observer("json")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="'jsonl' can't write to"):
        open_observer(f"jsonl:{tmp_path}/file/events.jsonl")


def test_tensorboard__not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r'Install it with: pip install "dfkdbench\[tensorboard\]"'):
        open_observer("tensorboard")

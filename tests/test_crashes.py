"""A plugin whose import ends the process: once; then it is found out, and passed over until somebody asks for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dfkdbench.crashes import CrashLog

CRASH = "import os; os._exit(9)"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the module `lab` of some code, to be found by processes that are started."""

    def make(code: str) -> None:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "lab.py").write_text(code, encoding="utf-8")
        path = os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)])
        monkeypatch.setenv("PYTHONPATH", path)

    return make


def test_log__blames_what_was_imported_when_a_process_ended(tmp_path: Path, lab: Callable[[str], None]) -> None:
    lab(CRASH)
    code = f"""
import os
from pathlib import Path
from dfkdbench.crashes import CrashLog
with CrashLog(Path({str(tmp_path)!r})).importing("lab 1.0"):
    os._exit(3)
"""
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 3
    for _ in range(2):
        log = CrashLog(tmp_path)
        assert log.blames("lab 1.0", "lab")
        assert not log.blames("lab 1.1", "lab")
    assert log.forget() == 1
    assert not log.blames("lab 1.0", "lab")
    assert not CrashLog(tmp_path).blames("lab 1.0", "lab")


@pytest.mark.parametrize("code", ["", "raise ImportError", "import sys; sys.exit(9)"])
def test_log__a_process_killed_from_outside_is_not_held_against_a_plugin(
    code: str, tmp_path: Path, lab: Callable[[str], None]
) -> None:
    lab(code)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / f"{_gone()}.importing").write_text("lab 1.0", encoding="utf-8")
    assert not CrashLog(tmp_path / "log").blames("lab 1.0", "lab")
    assert list((tmp_path / "log").iterdir()) == []


def _gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-P", "-c", ""])
    process.wait()
    return process.pid


def test_log__an_import_that_ends_well_or_raises_leaves_nothing(tmp_path: Path) -> None:
    log = CrashLog(tmp_path)
    with log.importing("good"):
        assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(SystemExit), log.importing("raising"):
        raise SystemExit
    assert list(tmp_path.iterdir()) == []


def test_log__a_process_that_is_still_importing_is_not_blamed(tmp_path: Path) -> None:
    (tmp_path / f"{os.getppid()}.importing").write_text("lab 1.0", encoding="utf-8")
    assert not CrashLog(tmp_path).blames("lab 1.0", "lab")
    assert CrashLog(tmp_path).forget() == 0


def test_log__without_a_place_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    log = CrashLog(tmp_path / "file" / "below")
    with log.importing("lab 1.0"):
        pass
    assert not log.blames("lab 1.0", "lab")


@pytest.fixture
def list_in_a_process(site: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`dfkdbench plugin list --json` in a process of its own, with the distributions of the site."""

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(site), *filter(None, sys.path)])
        environment = {**os.environ, "PYTHONPATH": path, "DFKDBENCH_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-P", "-m", "dfkdbench", "plugin", "list", "--json", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return start


def test_plugin_list__a_crashing_plugin_stops_the_others_once(
    make_distribution: Callable[..., str], list_in_a_process: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    make_distribution("crash-lab", CRASH)
    assert list_in_a_process().returncode == 9
    listed = list_in_a_process()
    assert listed.returncode == 0
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert rows["crash-lab"]["status"] == "crashed"
    assert "importing it ends the process" in rows["crash-lab"]["reason"]
    assert rows["dfkdbench"]["status"] == "ok"
    assert list_in_a_process("--retry").returncode == 9
    assert list_in_a_process().returncode == 0

"""Installs hostile plugins, runs them by the real command line, and holds what becomes of them to the table."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from dfkdbench.cli import main
from dfkdbench.places import assets_folder
from dfkdbench.registry import load_registry

HERE = Path(__file__).parent
SMALL = ("--dataset", "digits", "--budget", "smoke", "--threads", "1", "--json")
GRADIENTS = ("soft_labels", "input_gradients")

Say = Callable[[str, str], None]
Verify = Callable[[Path, int], Mapping[str, tuple[str, str]]]


@dataclass
class Ended:
    """How a command ended.

    Attributes:
        record: Of the run, or None where there is none.
        folder: Of the run.
        found: What every attempt reached or why it was denied.
        stderr: What the user was told.
    """

    exit_code: int
    record: dict[str, Any] | None
    folder: Path
    found: dict[str, dict[str, str]]
    stderr: str

    def denied(self, attempt: str) -> str:
        """The error that an attempt met; fails where it reached something."""
        assert "reached" not in self.found[attempt], self.found[attempt]
        return self.found[attempt]["denied"]

    def reached(self, attempt: str) -> str:
        """What an attempt reached, in Python's words."""
        assert "denied" not in self.found[attempt], self.found[attempt]
        return self.found[attempt]["reached"]


class Hostile:
    """An installed hostile plugin and how to run it.

    Attributes:
        package: Its folder, which the worker reads.
        facts: What its code is told: paths, access, attempts and deeds.
        out: Where its runs go.
        sprung: A file that is there once code of its has run where it must not.
    """

    def __init__(self, site: Path, out: Path) -> None:
        self.package, self.out = site / "hostile", out
        shutil.copytree(HERE / "method", self.package)
        for file in (HERE / "plugins").glob("*.py"):
            shutil.copy(file, self.package)
        install(site, "hostile", "hostile")
        self.sprung = out.parent / "sprung"
        self.facts: dict[str, Any] = {
            "access": GRADIENTS,
            "site": str(site),
            "judge": os.getpid(),
            "sprung": str(self.sprung),
            "digits": str(assets_folder() / "digits.npz"),
        }
        self.tell()

    def tell(self, **facts: Any) -> None:
        """Writes its facts anew; attempts and deeds are those of the next run alone."""
        self.facts |= {"attempts": (), "at_last": (), "deeds": (), "at_import": (), **facts}
        (self.package / "facts.json").write_text(json.dumps(self.facts), encoding="utf-8")

    def run(self, *arguments: str, **facts: Any) -> Ended:
        """Runs it in this process's judge, and a worker of its own."""
        self.tell(**facts)
        forget_plugins()
        done = CliRunner().invoke(main, self._command(*arguments))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return self._ended(done.exit_code, done.stdout, done.stderr)

    def run_apart(self, *arguments: str, **facts: Any) -> Ended:
        """Runs it with a judge in a process of its own, for what must not touch this one."""
        self.tell(**facts)
        path = os.pathsep.join(filter(None, (str(self.package.parent), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-P", "-m", "dfkdbench", *self._command(*arguments)]
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=600)
        return self._ended(done.returncode, done.stdout, done.stderr)

    def _command(self, *arguments: str) -> list[str]:
        return ["run", "--plugin", "hostile", *SMALL, "--out", str(self.out), *arguments]

    def _ended(self, exit_code: int, stdout: str, stderr: str) -> Ended:
        assert "Traceback" not in stderr, stderr
        record = json.loads(stdout)[0] if stdout.strip() else None
        (folder,) = [path for path in self.out.glob("hostile-*") if path.is_dir()] or [self.out]
        found = folder / "snapshots" / "found.json"
        return Ended(exit_code, record, folder, json.loads(found.read_text()) if found.is_file() else {}, stderr)


def install(site: Path, distribution: str, module: str) -> None:
    """What pip leaves behind of a distribution with an entry point, beside its files."""
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[dfkdbench]\n{module} = {module}\n", encoding="utf-8")


def forget_plugins() -> None:
    """Lets the next command discover and import what is installed by then."""
    load_registry.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("hostile", "listener")]:
        del sys.modules[name]


@pytest.fixture
def hostile(site: Path, tmp_path: Path) -> Iterator[Hostile]:
    """A hostile plugin, installed; gone from this process afterwards."""
    yield Hostile(site, tmp_path / "runs")
    forget_plugins()


@pytest.fixture
def listener(site: Path) -> None:
    """The second distribution, installed beside."""
    (site / "listener").mkdir()
    shutil.copy(HERE / "listener.py", site / "listener" / "__init__.py")
    install(site, "listener", "listener")


@pytest.fixture
def verify() -> Verify:
    """Verifies a run with what is installed: "L1 name" -> outcome and reason."""

    def make(folder: Path, level: int) -> Mapping[str, tuple[str, str]]:
        done = CliRunner().invoke(main, ["verify", str(folder), "--level", str(level), "--format", "json"])
        (report,) = json.loads(done.stdout)
        return {f"L{row['level']} {row['name']}": (row["outcome"], row["reason"]) for row in report["checks"]}

    return make


@pytest.fixture(scope="session")
def table() -> ModuleType:
    """The table of hostile plugins."""
    found = importlib.util.spec_from_file_location("hostile_table", HERE / "table.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


@pytest.fixture
def say(request: pytest.FixtureRequest, table: ModuleType) -> Say:
    """Says what became of an attempt: the table must say the same, and that this test shows it."""

    def hold(attempt: str, outcome: str) -> None:
        row = table.rows()[attempt]
        assert (row.outcome, row.test) == (outcome, request.node.originalname), attempt

    return hold


@pytest.fixture
def another(hostile: Hostile, make_record: Callable[..., Any], store_record: Callable[..., None]) -> Path:
    """The folder of a finished run beside those of the hostile plugin."""
    record = make_record("noise", 0, 90.0)
    store_record(hostile.out, record)
    folder = hostile.out / record.run_id
    (folder / "snapshots").mkdir()
    (folder / "snapshots" / "0000.safetensors").touch()
    return folder

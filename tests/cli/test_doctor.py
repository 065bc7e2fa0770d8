"""`dfkdbench doctor`."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dfkdbench import __version__
from dfkdbench.cli import main
from dfkdbench.registry import Registry
from dfkdbench.sandbox import abi_version


def report() -> dict:  # type: ignore[type-arg]
    done = CliRunner().invoke(main, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_doctor__versions_and_isolation() -> None:
    found = report()
    assert found["dfkdbench"]["version"] == __version__
    assert found["packages"]["torch"] == importlib.metadata.version("torch")
    abi = abi_version()
    expected = f"landlock abi {min(abi, 7)}" if abi else "audit hook"
    assert found["isolation"]["in force for runs"].startswith(expected)


def test_doctor__text_has_every_section_and_plugin(
    make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_distribution("toy-broken", "raise RuntimeError('no luck')")
    registry = registry_of_site()
    monkeypatch.setattr("dfkdbench.cli.doctor.load_registry", lambda: registry)
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0
    for section in report():
        assert f"\n{section}\n" in f"\n{done.stdout}"
    assert "  toy-broken (toy-broken 1.0, toy_broken): broken: import failed: RuntimeError: no luck\n" in done.stdout
    assert "  dfkdbench (dfkdbench " in done.stdout


def test_doctor__torch_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert report()["devices"]["torch"].startswith("can't be imported: ")


def test_doctor__folders_and_damaged_teachers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path / "home"))
    assert "not made yet" in report()["folders"]["home"]
    (tmp_path / "home" / "teachers" / "torn").mkdir(parents=True)
    found = report()
    assert "torn" in found["teachers"]["damaged"]
    assert str(tmp_path / "home" / "teachers") in found["teachers"]["searched in"]
    assert "not made yet" not in found["folders"]["home"]
    assert found["environment"]["DFKDBENCH_HOME"] == str(tmp_path / "home")

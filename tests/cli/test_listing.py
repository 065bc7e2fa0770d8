"""`dfkdbench list`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dfkdbench.cli import main
from dfkdbench.cli.listing import KINDS
from dfkdbench.registry import Registry

PLUGIN = """
    from dfkdbench.descriptors import Component, Method
    from dfkdbench.hookspecs import hookimpl
    from dfkdbench.recipe import PartChoice, Recipe

    API = 1

    @hookimpl
    def dfkdbench_generators():
        return [Component(kind="generator", name="toy", target="x:y", summary="A toy.", paper="Toy et al., 2026")]

    @hookimpl
    def dfkdbench_methods():
        return [
            Method(name="toy-method", summary="T.", recipe=Recipe(generator=PartChoice(name="toy")), aliases=("tm",)),
            Method(name="stranded", summary="Lacks a part.", recipe=Recipe(generator=PartChoice(name="elsewhere"))),
        ]
"""


@pytest.fixture
def installed(
    make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry], monkeypatch: pytest.MonkeyPatch
) -> Registry:
    """The built-in parts, a good plugin and a broken one."""
    make_distribution("toy-good", PLUGIN, version="0.4")
    make_distribution("toy-broken", "raise RuntimeError('no luck')")
    registry = registry_of_site()
    for module in ("listing", "doctor", "describe"):
        monkeypatch.setattr(f"dfkdbench.cli.{module}.load_registry", lambda: registry)
    return registry


def invoke(*arguments: str) -> Result:
    done = CliRunner().invoke(main, ["list", *arguments])
    assert done.exit_code == 0, done.output
    return done


def listed(kind: str) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(invoke(kind, "--json").stdout)}


@pytest.mark.parametrize("kind", KINDS)
def test_list__one_line_each(kind: str, installed: Registry) -> None:
    rows = listed(kind)
    lines = invoke(kind).stdout.splitlines()
    assert len(lines) == len(rows) + 2
    for name, line in zip(rows, lines[2:], strict=True):
        assert line.startswith(f"{name} ")


def test_list_methods__league_aliases_and_stranded_ones(installed: Registry) -> None:
    rows = listed("methods")
    assert rows["noise"]["league"] == "soft-labels"
    assert rows["toy-method"]["aliases"] == ["tm"]
    assert rows["toy-method"]["distribution"] == "toy-good"
    assert "tm" not in rows
    assert rows["stranded"]["league"] == "?"
    assert "The method 'stranded' can't run here. Unknown generator 'elsewhere'." in invoke("methods").stderr


def test_list_losses__role_and_needs(installed: Registry) -> None:
    rows = listed("losses")
    assert (rows["kl"]["role"], rows["kl"]["needs"]) == ("student", ["soft_labels"])
    assert rows["batch_norm"]["needs"] == ["batch_norm", "input_gradients"]


def test_list_plugins__broken_with_its_reason(installed: Registry) -> None:
    rows = listed("plugins")
    assert rows["toy-broken"]["status"] == "broken"
    assert rows["toy-broken"]["reason"] == "import failed: RuntimeError: no luck"
    assert rows["toy-good"]["parts"] == ["generator toy", "method toy-method", "method stranded"]
    line = next(line for line in invoke("plugins").stdout.splitlines() if line.startswith("toy-broken"))
    assert "import failed: RuntimeError: no luck" in line


def test_list__says_that_a_plugin_is_broken_beside_the_answer(installed: Registry) -> None:
    done = invoke("generators")
    assert "1 installed plugin is not loaded. See: dfkdbench plugin list" in done.stderr
    assert "broken" not in done.stdout


def test_list__clashing_names_are_qualified(
    make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_distribution("one-lab", PLUGIN)
    make_distribution("two-lab", PLUGIN)
    registry = registry_of_site()
    monkeypatch.setattr("dfkdbench.cli.listing.load_registry", lambda: registry)
    assert {"one-lab:toy", "two-lab:toy"} <= set(listed("generators"))


def test_list__without_kind_counts(installed: Registry) -> None:
    rows = {row["kind"]: row["count"] for row in json.loads(invoke("--json").stdout)}
    assert set(rows) == set(KINDS)
    assert rows["plugins"] == 3
    assert rows["generators"] == len(listed("generators"))


def test_list__unknown_kind() -> None:
    done = CliRunner().invoke(main, ["list", "mehtods"])
    assert done.exit_code == 2
    assert "Unknown kind 'mehtods'. Did you mean 'methods'?" in done.stderr


def test_list_teachers__damaged_one_is_told_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path))
    before = listed("teachers")
    damaged = tmp_path / "teachers" / "damaged"
    damaged.mkdir(parents=True)
    (damaged / "teacher.json").write_text("{", encoding="utf-8")
    assert listed("teachers") == before
    assert "damaged" in invoke("teachers").stderr
    assert json.loads(CliRunner().invoke(main, ["teacher", "list", "--json"]).stdout) == list(before.values())


def test_list_teachers__the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dfkdbench.teachers.store import shipped_folder

    shipped = next(path for path in sorted(shipped_folder().iterdir()) if path.is_dir())
    mine = tmp_path / "teachers" / "mine"
    shutil.copytree(shipped, mine)
    card = json.loads((mine / "teacher.json").read_text(encoding="utf-8"))
    (mine / "teacher.json").write_text(json.dumps({**card, "name": "mine", "accuracy": 12.345}), encoding="utf-8")
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path))
    row = listed("teachers")["mine"]
    assert (row["accuracy"], row["model"], row["sha256"]) == (12.35, card["arch"], card["sha256"][:12])


def test_list__terminal_cuts_the_last_column(installed: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from dfkdbench.cli import output

    whole = invoke("losses").stdout
    monkeypatch.setattr(output, "_on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    cut = invoke("losses").stdout
    assert max(map(len, whole.splitlines())) > 120
    assert max(map(len, cut.splitlines())) <= 120
    assert "..." in cut

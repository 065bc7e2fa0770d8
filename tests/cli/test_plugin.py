"""`dfkdbench plugin`: list, check, new."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dfkdbench.cli import main
from dfkdbench.conformance import CHECKS
from dfkdbench.hookspecs import ENTRY_POINT_GROUP
from dfkdbench.newplugin import KINDS
from dfkdbench.registry import Registry

LOSS = """
    from dfkdbench import Component, hookimpl

    API = 1

    @hookimpl
    def dfkdbench_losses():
        return [Component(kind="loss", role="student", name="toy", target="x:y", summary="Toy.")]
"""


def invoke(*arguments: str, expect: int = 0) -> Result:
    done = CliRunner().invoke(main, ["plugin", *arguments])
    assert done.exit_code == expect, done.output
    return done


@pytest.fixture
def installed(
    make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry], monkeypatch: pytest.MonkeyPatch
) -> Registry:
    """The built-in parts, a plugin whose target is nowhere, and one for another API."""
    make_distribution("toy-lab", LOSS, version="0.4")
    make_distribution("next-lab", "API = 2")
    registry = registry_of_site()
    monkeypatch.setattr("dfkdbench.cli.plugin.load_registry", lambda: registry)
    monkeypatch.setattr("dfkdbench.conformance.examination.load_registry", lambda: registry)
    return registry


def test_list__distribution_version_parts_api_status_reason_and_seconds(installed: Registry) -> None:
    rows = {row["name"]: row for row in json.loads(invoke("list", "--json").stdout)}
    toy, other = rows["toy-lab"], rows["next-lab"]
    assert (toy["distribution"], toy["version"], toy["api"], toy["status"]) == ("toy-lab", "0.4", 1, "ok")
    assert toy["parts"] == ["loss toy"]
    assert toy["seconds"] >= 0
    assert (other["api"], other["status"], other["parts"]) == (2, "incompatible", [])
    assert "made for plugin API 2" in other["reason"]
    assert "update dfkdbench" in other["reason"]
    titles = invoke("list").stdout.splitlines()[0].split()
    assert titles == ["name", "distribution", "version", "api", "status", "parts", "seconds", "reason"]


def test_check__one_line_each_and_exit_status(installed: Registry) -> None:
    done = invoke("check", "toy", expect=1)
    title, *lines = done.stdout.splitlines()
    assert title == "loss toy (toy-lab)"
    told = {re.split(r"  +", line.strip())[1]: re.split(r"  +", line.strip())[0] for line in lines}
    assert list(told) == [check.name for check in CHECKS if "loss" in check.kinds]
    assert told["target"] == "FAIL"
    assert told["described"] == "does not apply"
    assert {told[name] for name in ("options", "shapes", "resume", "composes")} == {"not tried"}
    assert f"1 of {len(lines)} checks failed." in done.stderr
    failed = next(line for line in lines if " target " in line)
    assert "The target 'x:y' can't be imported: No module named 'x'. Mend `target`" in failed


def test_check__qualified_name_distribution_one_check_and_json(installed: Registry) -> None:
    for name in ("toy-lab:toy", "toy-lab"):
        (row,) = json.loads(invoke("check", name, "--check", "described", "--json").stdout)
        assert (row["kind"], row["name"], row["check"], row["result"]) == ("loss", "toy", "described", "does not apply")


def test_check__that_is_for_another_kind(installed: Registry) -> None:
    assert "The check 'loads' is for none of these kinds" in invoke("check", "toy", "--check", "loads").stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("check", "tyo"), "Unknown plugin, method, part, model or data set 'tyo'. Did you mean 'toy'?"),
        (("check", "toy", "--check", "lihgt"), "Unknown check 'lihgt'. Did you mean 'light'?"),
        (("check",), "Missing argument 'NAME...'. See what there is with: dfkdbench plugin list"),
        (("new", "My-Method!"), "'My-Method!' can't be the name of a plugin"),
        (("new", "My-Method!"), "Did you mean 'my_method'?"),
        (("new", "dfkdbench-sharp"), "Did you mean 'sharp'?"),
        (("new", "3"), "For example: my_method"),
        (("new", "noise"), "There is a method 'noise' already, of dfkdbench. Choose another name"),
        (("new", "lenet_s", "--kind", "model"), "There is a model 'lenet_s' already, of dfkdbench."),
        (("new", "sharp", "--kind", "lose"), "Unknown kind 'lose'. Did you mean 'loss'?"),
    ],
)
def test_plugin__mistakes_are_told(arguments: tuple[str, ...], text: str, installed: Registry) -> None:
    assert text in invoke(*arguments, expect=2).stderr


def test_check__list_has_every_check_and_what_it_holds() -> None:
    rows = {row["check"]: row for row in json.loads(invoke("check", "--list", "--json").stdout)}
    assert list(rows) == [check.name for check in CHECKS]
    assert rows["resume"]["after"] == ["state", "repeats", "teacher"]
    lines = invoke("check", "--list").stdout.splitlines()[2:]
    assert [line.split()[0] for line in lines] == list(rows)


def test_checks__stand_behind_those_they_count_on() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for check in CHECKS:
        assert all(names.index(before) < names.index(check.name) for before in check.after), check.name


def written(kind: str, folder: Path) -> Path:
    done = invoke("new", f"my_{kind}", "--kind", kind, "--into", str(folder))
    assert f"a {kind} that works as it is" in done.stdout
    return folder / f"dfkdbench-my-{kind}"


@pytest.mark.parametrize("kind", KINDS)
def test_new__a_whole_distribution(kind: str, tmp_path: Path) -> None:
    root = written(kind, tmp_path)
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    package = f"dfkdbench_my_{kind}"
    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        ".gitignore",
        ".github/workflows/tests.yml",
        "tests/test_conformance.py",
        f"{package}/__init__.py",
        f"{package}/py.typed",
    } <= files
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == f"dfkdbench-my-{kind}"
    assert project["project"]["entry-points"]["dfkdbench"] == {f"my_{kind}": package}
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "$" not in text
        assert ast.get_docstring(ast.parse(text))
        assert max(map(len, text.splitlines()), default=0) <= 120
    assert "| claimed:" in (root / "README.md").read_text(encoding="utf-8")
    assert len((root / "tests" / "test_conformance.py").read_text(encoding="utf-8").splitlines()) <= 9


@pytest.mark.parametrize("kind", KINDS)
def test_new__registers_what_it_says(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(written(kind, tmp_path))
    module = f"dfkdbench_my_{kind}"
    registry = Registry([importlib.metadata.EntryPoint(f"my_{kind}", module, ENTRY_POINT_GROUP)])
    assert [plugin.status for plugin in registry.plugins] == ["ok", "ok"]
    assert registry.shelf(kind).get(f"my_{kind}").module == module
    for name in [name for name in sys.modules if name.startswith(module)]:
        monkeypatch.delitem(sys.modules, name)


def test_new__a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    root = written("loss", tmp_path)
    (root / "README.md").write_text("mine", encoding="utf-8")
    done = invoke("new", "my_loss", "--kind", "loss", "--into", str(tmp_path), expect=2)
    assert "is there already. Choose another name, or another folder with --into." in done.stderr
    assert (root / "README.md").read_text(encoding="utf-8") == "mine"


def test_new__prints_what_comes_next(tmp_path: Path) -> None:
    lines = invoke("new", "mine", "--into", str(tmp_path)).stdout.splitlines()
    assert lines[1:] == [
        f"  pip install {tmp_path / 'dfkdbench-mine'}",
        "  dfkdbench plugin check mine",
        "  dfkdbench run --plugin mine --dataset digits",
    ]

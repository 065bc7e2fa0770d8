"""Commands of plugins: found when they are asked for, never before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from dfkdbench.cli import main
from dfkdbench.registry import Registry

BODY = """
    from dfkdbench import Command, hookimpl

    API = 1

    @hookimpl
    def dfkdbench_commands():
        return [Command({name!r}, {target!r}, "Greets somebody.")]
"""
GREETING = """
import click

@click.command()
@click.argument("name")
def greet(name):
    click.echo(f"Hello {name}")

number = 3
"""


@pytest.fixture
def install(
    make_distribution: Callable[..., str],
    registry_of_site: Callable[[], Registry],
    site,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Registry]:
    """Installs a distribution with a command, and has the command line see what is installed by then."""

    def make(distribution: str, name: str, target: str) -> Registry:
        make_distribution(distribution, BODY.format(name=name, target=target))
        (site / "greeting.py").write_text(GREETING, encoding="utf-8")
        registry = registry_of_site()
        for module in ("dfkdbench.registry", "dfkdbench.cli.listing"):
            monkeypatch.setattr(f"{module}.load_registry", lambda: registry)
        return registry

    return make


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments])


def test_command__of_a_plugin_runs_and_is_listed(install) -> None:
    install("toy-lab", "greet", "greeting:greet")
    assert invoke("greet", "you").output == "Hello you\n"
    assert "Usage: main greet" in invoke("greet", "--help").output
    rows = invoke("list", "commands").output.splitlines()
    assert any("greet" in row and "toy-lab" in row and "Greets somebody." in row for row in rows)
    assert any(row.startswith("run ") and "dfkdbench" in row for row in rows)


def test_command__name_of_the_core_is_refused_and_listed(install) -> None:
    registry = install("toy-lab", "run", "greeting:greet")
    assert registry.plugins[-1].status == "broken"
    assert "the command 'run' is the core's; choose another name" in registry.plugins[-1].reason
    assert "the command 'run' is the core's" in invoke("list", "plugins").output
    assert "Run methods on a data set" in invoke("run", "--help").output


def test_command__of_two_plugins_is_qualified(install) -> None:
    install("first-lab", "greet", "greeting:greet")
    install("second-lab", "greet", "greeting:greet")
    done = invoke("greet", "you")
    assert done.exit_code == 2
    assert "Write 'first-lab:greet' or 'second-lab:greet'" in done.stderr
    assert invoke("second-lab:greet", "you").output == "Hello you\n"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere:greet", "The command 'greet' of toy-lab 1.0 can't be imported: ModuleNotFoundError"),
        ("greeting:number", "greeting:number is a int, and a click.Command is expected"),
    ],
)
def test_command__that_is_none(install, target: str, said: str) -> None:
    install("toy-lab", "greet", target)
    done = invoke("greet", "you")
    assert done.exit_code == 2
    assert said in done.stderr


def test_help__asks_no_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError("plugins were looked at")

    monkeypatch.setattr("dfkdbench.registry.load_registry", fail)
    assert "dfkdbench list commands" in invoke("--help").output

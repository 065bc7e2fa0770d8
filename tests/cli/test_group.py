"""The group: its help page, its errors, and what it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import click
import pytest
from click.testing import CliRunner

from dfkdbench import __version__
from dfkdbench.cli import COMMANDS, main
from dfkdbench.errors import DfkdbenchError

HEAVY = {"torch", "torchvision", "pandas", "scipy", "numpy", "rich"}


def modules_after(*arguments: str) -> set[str]:
    """What is imported once a command has run, in a fresh interpreter."""
    code = textwrap.dedent(
        """
        import json, sys
        from dfkdbench.cli import main
        try:
            main(sys.argv[1:], prog_name="dfkdbench")
        except SystemExit as stop:
            print(json.dumps(sorted(sys.modules)), file=sys.stderr)
            raise
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help__imports_next_to_nothing(arguments: tuple[str, ...]) -> None:
    assert not (HEAVY | {"pydantic", "pluggy", "tabulate"}) & modules_after(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("list", "methods"),
        ("list", "datasets", "--json"),
        ("describe", "kl"),
        ("describe", "noise", "--dataset", "digits"),
        ("teacher", "list"),
        ("published", "--dataset", "cifar10"),
        ("run", "--help"),
        ("results", "--help"),
        ("compare", "--help"),
        ("leaderboard", "--help"),
        ("leaderboard", "build", "--help"),
        ("submit", "--help"),
        ("doctor", "--help"),
    ],
    ids=" ".join,
)
def test_listings__import_no_torch(arguments: tuple[str, ...]) -> None:
    assert not HEAVY & modules_after(*arguments)


def test_help__names_every_command_with_its_line() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    for name, command in COMMANDS.items():
        assert f"  {name}" in shown
        assert " ".join(command.summary.split()) in " ".join(shown.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_commands__are_where_the_group_says(name: str) -> None:
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert f"Usage: main {name}" in done.output


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"dfkdbench {__version__} (protocol 2026.1)\n"


def test_unknown_command__names_the_nearest() -> None:
    done = CliRunner().invoke(main, ["lst", "methods"])
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: Unknown command 'lst'. Did you mean 'list'? There are: bench, compare,")
    assert "List them with: dfkdbench list commands" in done.stderr


def test_errors__ours_without_traceback_others_with(monkeypatch: pytest.MonkeyPatch) -> None:
    problem: list[Exception] = [DfkdbenchError("What a pity.")]

    def fail() -> None:
        raise problem[0]

    monkeypatch.setattr("dfkdbench.cli.listing.load_registry", fail)
    done = CliRunner().invoke(main, ["list", "methods"])
    assert (done.exit_code, done.stderr) == (2, "Error: What a pity.\n")
    problem[0] = ZeroDivisionError()
    done = CliRunner().invoke(main, ["list", "methods"])
    assert isinstance(done.exception, ZeroDivisionError)


def test_completion__does_not_fail_on_a_half_typed_command() -> None:
    context = click.Context(main, resilient_parsing=True)
    assert main.resolve_command(context, ["li"])[1] is None

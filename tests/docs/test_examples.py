"""docs/plugins.md: every example is installed as it stands there, and its commands are run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dfkdbench.cli import main
from dfkdbench.registry import load_registry

TEXT = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
KINDS = ["Method", "Loss", "Generator", "Replay memory", "Aggregator", "Data set", "Model", "Observer", "Command"]
SAID = {
    "Method": "| mine ",
    "Loss": "| finished | ",
    "Generator": "| finished | ",
    "Replay memory": "| finished | ",
    "Aggregator": "| finished | ",
    "Data set": "| stripes   | lenet_s:lenet_xs | 0      | finished |",
    "Model": "| resnet_s:tiny | 0      | finished |",
    "Observer": "| finished | ",
    "Command": "noise-digits-lenet_s-lenet_xs-s0-",
}


def sections() -> dict[str, str]:
    """Body of every part under a heading of the second level, by title."""
    parts = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    return dict(part.split("\n", 1) for part in parts)


def files_of(body: str) -> dict[str, str]:
    """Path and content of every block of Python; its first line is a comment with the path."""
    return dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", body, re.DOTALL))


def commands_of(body: str) -> list[str]:
    return re.findall(r"^    dfkdbench (.+)$", body, re.MULTILINE)


def install(body: str, make_distribution: Callable[..., str], site: Path) -> None:
    files = files_of(body)
    make_distribution(next(iter(files)).partition("/")[0].replace("_", "-"), "")
    for path, code in files.items():
        (site / path).write_text(code, encoding="utf-8")


def test_page__has_every_kind() -> None:
    assert list(sections()) == KINDS
    for body in sections().values():
        assert body.count("```python") == len(files_of(body)) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_example__runs_as_it_stands(
    kind: str,
    make_distribution: Callable[..., str],
    site: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    commands = commands_of(sections()[kind])
    install(sections()[kind], make_distribution, site)
    if kind == "Loss":  # its command is on the method of the page
        install(sections()["Method"], make_distribution, site)
    load_registry.cache_clear()
    request.addfinalizer(load_registry.cache_clear)
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert commands
    for command in commands:
        one_thread = ["--threads", "1"] if command.startswith("run ") else []
        done = CliRunner().invoke(main, [*shlex.split(command), *one_thread])
        assert done.exit_code == 0, f"{command}\n{done.output}"
    assert SAID[kind] in done.stdout
    if kind == "Observer":
        (line,) = (tmp_path / "finished.txt").read_text(encoding="utf-8").splitlines()
        assert line.startswith("noise-digits-")

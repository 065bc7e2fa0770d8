"""Pages of docs/: the index has all of them, links lead somewhere, commands exist, and cli.md is what the code says."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import click
import pytest

from dfkdbench.cli import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", *ROOT.glob("examples/*/README.md")])
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)|(?:src|href)=\"(?!https?:)([^\"#]+)\"")


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links__lead_to_files_and_headings(page: Path) -> None:
    for target, anchor, source in _LINK.findall(page.read_text(encoding="utf-8")):
        found = page.parent / (target or source) if target or source else page
        assert found.exists(), target or source
        if anchor:
            assert anchor in anchors_of(found), f"{target}{anchor}"


def test_index__names_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


def commands_in(page: Path) -> list[str]:
    """What stands behind `dfkdbench` in indented lines and in code within the text."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"^    dfkdbench ([^\n|#]+)", text, re.MULTILINE) + re.findall(r"`dfkdbench ([a-z][^`]*)`", text)


@pytest.mark.parametrize("page", [page for page in PAGES if commands_in(page)], ids=lambda page: page.name)
def test_commands__exist_with_their_flags(page: Path) -> None:
    for line in commands_in(page):
        words = shlex.split(line)
        if words[0] == "best":  # an example's
            continue
        command = main.get_command(click.Context(main), words[0])
        assert command is not None, line
        while isinstance(command, click.Group) and len(words) > 1 and words[1] in command.commands:
            command, words = command.commands[words[1]], words[1:]
        flags = {flag for option in command.params for flag in option.opts}
        given = {word.partition("=")[0].split("|")[0] for word in words if word.startswith("--")}
        assert given <= flags | {"--help"}, f"{line}: {given - flags}"


def test_cli_page__is_what_the_commands_say() -> None:
    path = ROOT / "tools" / "cli_reference.py"
    spec = importlib.util.spec_from_file_location("cli_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == module.render(), "run: python tools/cli_reference.py"

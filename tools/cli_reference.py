"""Writes docs/cli.md from the commands themselves: python tools/cli_reference.py"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from dfkdbench.cli import COMMANDS, main

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
_WIDTH = 100
_HEAD = """# Commands

Written by `python tools/cli_reference.py` from the commands themselves; a test fails where this page is another.
Plugins can add commands: `dfkdbench list commands`.
"""


def help_pages(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Name and help page of a command and of those below it, as on a terminal of 100 columns."""
    context = click.Context(command, info_name=" ".join(path), max_content_width=_WIDTH, terminal_width=_WIDTH)
    yield " ".join(path), command.get_help(context)
    if isinstance(command, click.Group) and path != ("dfkdbench",):
        for name, inner in command.commands.items():
            yield from help_pages(inner, (*path, name))


def render() -> str:
    """The whole page."""
    pages = list(help_pages(main, ("dfkdbench",)))
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        if command is not None:
            pages += help_pages(command, ("dfkdbench", name))
    return _HEAD + "".join(f"\n## {name}\n\n```text\n{text.rstrip()}\n```\n" for name, text in pages)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")

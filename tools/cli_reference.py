"""Writes docs/cli.md from the commands themselves: python tools/cli_reference.py"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from dfkdbench.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
_WIDTH = 100
_HEAD = """# Commands

Written by `python tools/cli_reference.py` from the commands themselves; a test fails where this page is another.
Plugins can add commands: `dfkdbench list commands`.
"""


def help_pages(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Path and help page of a command and of those below it, as on a terminal of 100 columns."""
    settings = {**command.context_settings, "max_content_width": _WIDTH, "terminal_width": _WIDTH}
    context = click.Context(command, parent=parent, info_name=name, **settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            below = command.get_command(context, inner)
            if below is not None:
                yield from help_pages(below, inner, context)


def render() -> str:
    """The whole page."""
    pages = help_pages(main, "dfkdbench", None)
    return _HEAD + "".join(f"\n## {path}\n\n```text\n{text.rstrip()}\n```\n" for path, text in pages)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")

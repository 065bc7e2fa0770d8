"""The command line. A command's module is imported only when that command is asked for."""

from __future__ import annotations

import importlib

import click

from dfkdbench import PROTOCOL, __version__, commands
from dfkdbench.errors import DfkdbenchError

COMMANDS = {command.name: command for command in commands.COMMANDS}


class LazyGroup(click.Group):
    """A group that knows its commands by name and one line each, so that its help page imports none of them.

    Plugins are looked at when a command is asked for that the core does not have, and never before.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The core's names, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now.

        Raises:
            UnknownNameError: No such command; the message names the nearest one.
            DfkdbenchError: A plugin's command that can't be imported, or is none.
        """
        if cmd_name in COMMANDS:
            return _import_command(COMMANDS[cmd_name].target)
        if ctx.resilient_parsing:
            return None
        return _plugin_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])
        formatter.write_paragraph()
        formatter.write_text("Plugins can add commands: dfkdbench list commands")


def _plugin_command(name: str) -> click.Command:
    from dfkdbench.registry import load_registry

    owned = load_registry().commands.get(name)
    try:
        command: object = _import_command(owned.item.target)
    except Exception as error:  # other people's code, imported
        raise DfkdbenchError(
            f"The command '{name}' of {owned.distribution} {owned.distribution_version} can't be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(command, click.Command):
        raise DfkdbenchError(
            f"The command '{name}' of {owned.distribution}: {owned.item.target} is a {type(command).__name__}, "
            "and a click.Command is expected."
        )
    return command


def _import_command(target: str) -> click.Command:
    module, _, attribute = target.partition(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message=f"%(prog)s %(version)s (protocol {PROTOCOL})", prog_name="dfkdbench")
def main() -> None:
    """Referee data-free knowledge distillation: any method, one sealed protocol.

    Start with: dfkdbench run --plugin noise --dataset digits
    """

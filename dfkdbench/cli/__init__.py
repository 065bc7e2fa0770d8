"""The command line. A command's module is imported only when that command is asked for."""

from __future__ import annotations

import importlib
from typing import NamedTuple

import click

from dfkdbench import PROTOCOL, __version__
from dfkdbench.errors import unknown_name


class LazyCommand(NamedTuple):
    """Where a command is ("package.module:attribute"), and its line in the help page."""

    target: str
    help: str


COMMANDS = {
    "run": LazyCommand("dfkdbench.cli.run:run", "Run a method on a data set, sealed, and record the result."),
    "list": LazyCommand("dfkdbench.cli.listing:list_kind", "List methods, parts, data sets, models and the like."),
    "describe": LazyCommand("dfkdbench.cli.describe:describe", "Show what a name is, with every option it takes."),
    "results": LazyCommand("dfkdbench.cli.results:results", "Show a table of the records in a runs folder."),
    "verify": LazyCommand("dfkdbench.cli.verify:verify", "Check that records are what they say, at four levels."),
    "published": LazyCommand(
        "dfkdbench.cli.published:published", "Show figures that papers claim, with their sources."
    ),
    "compare": LazyCommand("dfkdbench.cli.compare:compare", "Compare methods: intervals, differences, ranks."),
    "sensitivity": LazyCommand(
        "dfkdbench.cli.sensitivity:sensitivity", "Vary loss weights and learning rates around methods' presets."
    ),
    "sweep": LazyCommand("dfkdbench.cli.sweep:sweep", "Make the many runs of a campaign file, here or on a cluster."),
    "submit": LazyCommand("dfkdbench.cli.submit:submit", "Put finished runs onto a leaderboard."),
    "leaderboard": LazyCommand(
        "dfkdbench.cli.leaderboard:leaderboard", "Make, build, check, merge and compare leaderboards."
    ),
    "teacher": LazyCommand("dfkdbench.cli.teacher:teacher", "Train, import and list teachers."),
    "doctor": LazyCommand("dfkdbench.cli.doctor:doctor", "Show versions, device, isolation and plugins, for an issue."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and one line each, so that its help page imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command, or names the nearest one.

        Raises:
            UnknownNameError: No such command.
        """
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise unknown_name("command", args[0], COMMANDS, "dfkdbench --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message=f"%(prog)s %(version)s (protocol {PROTOCOL})", prog_name="dfkdbench")
def main() -> None:
    """Referee data-free knowledge distillation: any method, one sealed protocol.

    Start with: dfkdbench run --plugin noise --dataset digits
    """

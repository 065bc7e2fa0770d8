"""The commands of the core, and what a plugin says about one of its own. Imports nothing."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A command of `dfkdbench`.

    Attributes:
        name: What is typed behind `dfkdbench`.
        target: "package.module:attribute" of a `click.Command`; imported when the command is asked for.
        summary: Its line in `dfkdbench --help` (the core's) or `dfkdbench list commands`.
    """

    name: str
    target: str
    summary: str


COMMANDS = (
    Command("run", "dfkdbench.cli.run:run", "Run a method on a data set, sealed, and record the result."),
    Command("list", "dfkdbench.cli.listing:list_kind", "List methods, parts, data sets, models and the like."),
    Command("describe", "dfkdbench.cli.describe:describe", "Show what a name is, with every option it takes."),
    Command("results", "dfkdbench.cli.results:results", "Show a table of the records in a runs folder."),
    Command("verify", "dfkdbench.cli.verify:verify", "Check that records are what they say, at four levels."),
    Command("published", "dfkdbench.cli.published:published", "Show figures that papers claim, with their sources."),
    Command("compare", "dfkdbench.cli.compare:compare", "Compare methods: intervals, differences, ranks."),
    Command(
        "sensitivity",
        "dfkdbench.cli.sensitivity:sensitivity",
        "Vary loss weights and learning rates around methods' presets.",
    ),
    Command("sweep", "dfkdbench.cli.sweep:sweep", "Make the many runs of a campaign file, here or on a cluster."),
    Command("bench", "dfkdbench.cli.timing:bench", "Time the steps of a task: by part, against the device's peak."),
    Command("submit", "dfkdbench.cli.submit:submit", "Put finished runs onto a leaderboard."),
    Command(
        "leaderboard", "dfkdbench.cli.leaderboard:leaderboard", "Make, build, check, merge and compare leaderboards."
    ),
    Command("teacher", "dfkdbench.cli.teacher:teacher", "Train, import and list teachers."),
    Command("dataset", "dfkdbench.cli.dataset:dataset", "Add and remove data sets that are folders of images."),
    Command("plugin", "dfkdbench.cli.plugin:plugin", "List, check and write plugins."),
    Command("doctor", "dfkdbench.cli.doctor:doctor", "Show versions, device, isolation and plugins, for an issue."),
)
"""Those of the core, in the order of use. No plugin can take their names."""

"""What a plugin hands to the registry for an executor: a plain description that imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExecutorSpec:
    """Where the runs of a campaign are made.

    Attributes:
        target: "package.module:attribute", called as `attribute(options, each, folder)`; gives an
            `dfkdbench.executors.jobs.Executor` of jobs that need the resources `each`.
        options: "package.module:attribute" of the model of its options, a `dfkdbench.recipe.Options`.
        extra: The extra of the distribution that brings what it needs.
        requires: The module that has to be there.
        elsewhere: Runs may be made on other machines, so that their device need not be there on this one.
    """

    name: str
    target: str
    options: str
    summary: str
    extra: str = ""
    requires: str = ""
    elsewhere: bool = False
    version: str = "1"

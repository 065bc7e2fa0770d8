"""The sealed worker: `python -P -m dfkdbench.worker RUN_FOLDER [READ WRITE]`, started by the judge.

It leaves a supervisor behind, which ends what it starts and leaves, closes itself off before NumPy, torch or any plugin
is imported, says on its standard output what is in force, closes that channel, and only then trains. READ and WRITE
are descriptors of pipes to the teachers, where these have a process of their own.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from dfkdbench.leaving import leave
from dfkdbench.sandbox import Policy, go_on_supervised, seal


def main(root: Path, *ends: int) -> int:
    """Seals this process and runs the plan of a run folder; returns the exit code."""
    launch, in_force = close_off(root, *ends)
    if launch["processes"] > 1:
        from dfkdbench.lead import lead

        return lead(root, launch, in_force)
    from dfkdbench.launch import Launch
    from dfkdbench.plan import Plan
    from dfkdbench.runfolder import RunFolder
    from dfkdbench.session import run_session
    from dfkdbench.teacherchannel import Pipes

    folder = RunFolder(root)
    plan = Plan.model_validate_json(folder.plan.read_text(encoding="utf-8"))
    pipes = Pipes(*ends) if ends else None
    return run_session(folder, plan, Launch.model_validate(launch), pipes=pipes)


def close_off(root: Path, *ends: int) -> tuple[dict[str, Any], str]:
    """Seals this process as the launch of a run folder says; returns that, and what is in force."""
    go_on_supervised(held=(sys.stdout.fileno(), *ends))
    launch = json.loads((root / "launch.json").read_text(encoding="utf-8"))
    in_force = seal(Policy.from_json(launch["policy"]), launch["isolation"], several=launch["processes"] > 1)
    say_ready(in_force)
    return launch, in_force


def say_ready(isolation: str) -> None:
    """Tells the judge what is in force and closes the channel: nothing a plugin prints can forge it."""
    print(isolation, flush=True)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    leave(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))

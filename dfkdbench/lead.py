"""Starts the processes of a run that has several, from within its seal, and ends them together."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from dfkdbench.files import write_json
from dfkdbench.runfolder import RunFolder
from dfkdbench.session import EXIT_CHECKPOINTED, EXIT_FINISHED, EXIT_LOST

_HERE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
"""The processes talk over the machine's own loopback alone."""


def lead(root: Path, launch: Mapping[str, Any], in_force: str) -> int:
    """Runs the plan of a run folder in several processes, as torchrun does; returns the exit code of the run.

    Where one fails or is killed the others are ended; each says in the log of the worker what it met.

    Args:
        launch: How the worker was started.
        in_force: The isolation. What the kernel closed stays so in the processes; an audit hook they install anew.
    """
    folder = RunFolder(root)
    write_json(folder.handed_launch, launch)
    os.environ.update(_HERE)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=launch["processes"],
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=root.name,
        max_restarts=0,
    )
    kind = "audit" if in_force.startswith("audit") else "none"
    try:
        elastic_launch(config, sys.executable)("-P", "-m", "dfkdbench.rank", str(folder.scratch), kind)
    except SignalException:
        return EXIT_CHECKPOINTED
    except ChildFailedError as error:
        codes = {failure.exitcode for failure in error.failures.values() if failure.exitcode > 0} - {EXIT_LOST}
        return codes.pop() if len(codes) == 1 else EXIT_LOST
    return EXIT_FINISHED

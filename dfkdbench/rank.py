"""One of several processes of a run: `python -P -m dfkdbench.rank SCRATCH KIND`, started by `dfkdbench.lead`.

It starts inside the seal that the kernel keeps. SCRATCH is that of the run's folder; KIND is "audit" where a hook in
the interpreter is all there is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dfkdbench.leaving import leave
from dfkdbench.runfolder import RunFolder
from dfkdbench.sandbox import Policy, seal

if TYPE_CHECKING:
    from dfkdbench.crew import SharedCrew
    from dfkdbench.plan import Plan


def main(scratch: Path, kind: str) -> int:
    """Runs this process's share of the plan of a run folder; returns the exit code."""
    folder = RunFolder(scratch.parent)
    launch = json.loads(folder.handed_launch.read_text(encoding="utf-8"))
    seal(Policy.from_json(launch["policy"]), "audit" if kind == "audit" else "none", several=True)
    from dfkdbench.launch import Launch
    from dfkdbench.plan import Plan
    from dfkdbench.session import run_session

    plan = Plan.model_validate_json(folder.plan.read_text(encoding="utf-8"))
    return run_session(folder, plan, Launch.model_validate(launch), crew=join(plan))


def join(plan: Plan) -> SharedCrew:
    """The crew of this process, as torchrun's environment variables say, once all are there.

    Raises:
        IntegrityError: The processes have not the same plan.
        LostProcessError: One of them has ended.
    """
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    from dfkdbench.crew import SharedCrew
    from dfkdbench.files import canonical_json, sha256_of

    accelerated = torch.device(plan.device).type == "cuda"
    store, rank, size = next(rendezvous("env://"))
    backends = "cpu:gloo,cuda:nccl" if accelerated else "gloo"
    distributed.init_process_group(backends, store=store, rank=rank, world_size=size)
    crew = SharedCrew(store, averages=plan.batch_statistics == "process")
    if accelerated:
        torch.cuda.set_device(crew.place(plan.device))
    crew.check_same("plan", sha256_of(canonical_json(plan.model_dump(mode="json")).encode()))
    return crew


if __name__ == "__main__":
    leave(main(Path(sys.argv[1]), sys.argv[2]))

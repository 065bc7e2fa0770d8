"""The judge's own training process for controls that need real samples: `python -P -m dfkdbench.control RUN_FOLDER`.

It is not sealed and says so. Only controls of the core run here; a method that claims real samples does not.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch

from dfkdbench.datasets.images import ImageSet, normalise
from dfkdbench.datasets.loading import load_dataset
from dfkdbench.errors import DataError, PlanError
from dfkdbench.launch import Launch
from dfkdbench.leaving import leave
from dfkdbench.plan import Plan
from dfkdbench.registry import load_registry
from dfkdbench.reports import append_line
from dfkdbench.runfolder import RunFolder
from dfkdbench.sandbox import die_with_parent
from dfkdbench.seams import Batch
from dfkdbench.session import EXIT_ENDED_WITH_STATUS, run_session
from dfkdbench.worker import say_ready

MOST_BYTES = 16 << 30


def main(root: Path) -> int:
    """Loads the training set and runs the plan of a run folder; returns the exit code."""
    die_with_parent()
    folder = RunFolder(root)
    launch = Launch.model_validate_json(folder.launch.read_text(encoding="utf-8"))
    plan = Plan.model_validate_json(folder.plan.read_text(encoding="utf-8"))
    say_ready("none: control on real data")
    spec = load_registry().datasets.get(plan.input.dataset).item
    data_root = Path(launch.data_root) if launch.data_root else None
    try:
        real = _all_samples(load_dataset(spec, data_root, train=True), plan)
    except (PlanError, DataError) as error:
        append_line(folder.reports, {"event": "refused", "error": error.message})
        return EXIT_ENDED_WITH_STATUS
    return run_session(folder, plan, launch, real)


def _all_samples(images: ImageSet, plan: Plan) -> Batch:
    """The whole training set in the teacher's input space, on the run's device.

    Raises:
        PlanError: It would take more than `MOST_BYTES`.
    """
    size = 4 * len(images) * math.prod(images.shape)
    if size > MOST_BYTES:
        raise PlanError(
            f"'{plan.plugin}' holds the {len(images):,} training images of {plan.input.dataset} as float32, which are "
            f"{size / 2**30:,.0f} GiB; the most is {MOST_BYTES / 2**30:,.0f}. There is no control on real data for "
            "this set; dfkdbench list methods shows the others."
        )
    pixels, labels = zip(*images.batches(4096), strict=True)
    device = torch.device(plan.device)
    scaled = torch.cat([normalise(batch.to(device), plan.input.mean, plan.input.std) for batch in pixels])
    return Batch(scaled, torch.cat([batch.to(device) for batch in labels]))


if __name__ == "__main__":
    leave(main(Path(sys.argv[1])))

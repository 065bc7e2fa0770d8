"""The process that a timing runs in: `python -P -m dfkdbench.timing.process`, its order on standard input.

It has the environment of a run's worker, whose memory settings change what a step costs, and a memory of its own.
"""

from __future__ import annotations

import subprocess
import sys

from pydantic import BaseModel, ConfigDict

from dfkdbench.errors import RunError
from dfkdbench.plan import Plan
from dfkdbench.timing.measure import Cost, measure
from dfkdbench.workerprocess import temporary_folder, training_environment


class Order(BaseModel):
    """What to time, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: Plan
    rounds: int
    threads: int
    shortcuts: tuple[str, ...]
    capture: str


def measure_apart(order: Order) -> Cost:
    """What `measure` finds in a process of its own.

    Raises:
        RunError: It ended without an answer, for want of memory for one; what it wrote is on standard error.
    """
    with temporary_folder() as folder:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dfkdbench.timing.process"],
            input=order.model_dump_json(),
            stdout=subprocess.PIPE,
            env=training_environment(folder, folder, order.threads),
            text=True,
        )
    if done.returncode:
        raise RunError(
            f"The timing of {order.plan.plugin} on {order.plan.input.dataset} at batch {order.plan.recipe.batch_size} "
            f"ended with exit status {done.returncode}. A smaller batch takes less memory: --set batch_size=N."
        )
    return Cost.model_validate_json(done.stdout)


def main() -> None:
    """Times what the order on standard input says; the answer is one JSON object on standard output."""
    import torch

    from dfkdbench.devices import prepare_torch

    order = Order.model_validate_json(sys.stdin.read())
    prepare_torch(torch.device(order.plan.device), order.threads, order.shortcuts)
    print(measure(order.plan, order.rounds, order.capture).model_dump_json())


if __name__ == "__main__":
    main()

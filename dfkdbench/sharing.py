"""Which runs several processes can do together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from dfkdbench.errors import PlanError

if TYPE_CHECKING:
    from dfkdbench.bench import Request
    from dfkdbench.plan import Plan


BatchStatistics = Literal["process", "synchronised"]


class Sharing(NamedTuple):
    """By how many processes a run is done together.

    Attributes:
        batch_statistics: Of the student's batch norms, where there are several: each process normalises by its share of
            the batch, or all by the whole. None is the latter.
    """

    processes: int = 1
    batch_statistics: BatchStatistics | None = None

    def settled(self) -> BatchStatistics | None:
        """The batch statistics that a plan says."""
        return self.batch_statistics or (None if self.processes == 1 else "synchronised")


ONE_PROCESS = Sharing()


def sharing_of(request: Request) -> Sharing:
    """What was asked for."""
    return Sharing(request.processes, request.batch_statistics)


def check_sharing(plan: Plan) -> None:
    """Refuses a plan for several processes whose passes can't be shared out so that the run stays the same.

    Raises:
        PlanError: With the part that stands in the way, and why.
    """
    if plan.processes == 1:
        if plan.batch_statistics is not None:
            raise PlanError("--batch-statistics is for runs of several processes, and this one has one: --processes 2.")
        return
    if reason := _obstacle(plan):
        raise PlanError(f"'{plan.plugin}' can't be run by {plan.processes} processes here: {reason}")


def check_machine(plan: Plan, isolation: str) -> None:
    """Refuses a plan for more processes than there are accelerators, and several inside the judge's own.

    Raises:
        PlanError: With what there is.
    """
    import torch

    if plan.processes == 1:
        return
    if isolation == "in-process":
        raise PlanError("--isolation in-process is one process, the judge's own; --processes asks for more.")
    if plan.device == "cuda" and torch.cuda.device_count() < plan.processes:
        raise PlanError(
            f"--processes {plan.processes} takes as many CUDA devices, and there are {torch.cuda.device_count()}. "
            "See: dfkdbench doctor"
        )


def _obstacle(plan: Plan) -> str:
    """Why the run needs one process, or nothing."""
    if plan.side == "judge":
        return "it trains on real samples, on the judge's side, in one process."
    if plan.teachers_apart:
        return "it sees labels alone, and its teachers, in a process of their own, answer one process."
    if plan.loop is not None:
        return "it has a loop of its own; the standard loop alone shares its batches out."
    if plan.recipe.student_update.kind != "joint":
        return (
            f"student_update.kind={plan.recipe.student_update.kind} takes a gradient within its objective, of a share "
            "of the batch alone. Say --set student_update.kind=joint."
        )
    for name, size in (("batch_size", plan.recipe.batch_size), ("the number of replayed images", plan.replay_size)):
        if size % plan.processes:
            return f"{name} is {size}, which is not divisible by {plan.processes}."
    kind = plan.device.partition(":")
    if kind[1]:
        return f"the device is {plan.device}, and each process has one of its own. Say --device {kind[0]}."
    return ""

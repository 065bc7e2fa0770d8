"""A run that is built as any other, with teachers of random weights: a step costs the same whatever they know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from dfkdbench.assembly import Assembly, build_network
from dfkdbench.bench import Request
from dfkdbench.devices import choose_device
from dfkdbench.errors import PlanError
from dfkdbench.files import sha256_of
from dfkdbench.lookup import look_up
from dfkdbench.plan import Plan, make_plan
from dfkdbench.registry import Registry
from dfkdbench.rng import seeded_initialisation
from dfkdbench.weights import dump_weights

_NO_LIMITS = {"student_samples": 0, "teacher_queries": 0}


def plan_untrained(registry: Registry, request: Request) -> Plan:
    """The plan of a request's first seed, with stand-ins for hashes and no limit on samples or queries.

    Raises:
        DfkdbenchError: Anything asked for that is not there or does not fit, or a control on real samples.
    """
    method, cell, resolved = look_up(registry, request)
    stand_ins = {f"random-{number}": "" for number in range(request.teacher_count)}
    plan = make_plan(method, resolved, cell, stand_ins, request.seeds[0], choose_device(request.device), "")
    if plan.side == "judge":
        raise PlanError(f"'{plan.plugin}' trains on real samples, and a timing has none. Time another method.")
    return plan.model_copy(update={"budget": plan.budget.model_copy(update=_NO_LIMITS)})


@contextmanager
def untrained_assembly(plan: Plan) -> Iterator[Assembly]:
    """Everything of a plan's run, built here, its teachers with random weights.

    Args:
        plan: From `plan_untrained`.
    """
    device = torch.device(plan.device)
    with TemporaryDirectory(prefix="dfkdbench-") as folder:
        paths, teachers = [], []
        for number, teacher in enumerate(plan.teachers):
            with seeded_initialisation(number):
                weights = dump_weights(build_network(teacher.model, plan.input))
            paths.append(Path(folder) / f"{teacher.name}.safetensors")
            paths[-1].write_bytes(weights)
            teachers.append(teacher.model_copy(update={"sha256": sha256_of(weights)}))
        yield Assembly(plan.model_copy(update={"teachers": tuple(teachers)}), paths, device)

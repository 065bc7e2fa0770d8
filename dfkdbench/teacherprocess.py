"""The teachers' own process, for runs that may see labels alone.

    python -P -m dfkdbench.teacherprocess RUN_FOLDER READ WRITE

Started by the judge and sealed like the worker, before any library is imported. It reads the plan and the teachers'
weights, which the worker then can't, and answers what comes over the pipe until the worker is gone. It keeps no state:
a run that resumes gets a new one.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dfkdbench.leaving import leave
from dfkdbench.sandbox import Policy, die_with_parent, seal
from dfkdbench.worker import say_ready

if TYPE_CHECKING:
    from torch import Tensor

    from dfkdbench.launch import TeacherLaunch
    from dfkdbench.plan import Plan
    from dfkdbench.teacherchannel import Question


def main(root: Path, reading: int, writing: int) -> int:
    """Seals this process, loads the teachers of a run folder and answers; returns the exit code."""
    die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):  # the worker may have a round to finish before it stops
        signal.signal(number, signal.SIG_IGN)
    text = (root / "teacher.json").read_text(encoding="utf-8")
    launch = json.loads(text)
    say_ready(seal(Policy.from_json(launch["policy"]), launch["isolation"]))
    from dfkdbench.errors import IntegrityError
    from dfkdbench.launch import TeacherLaunch
    from dfkdbench.plan import Plan
    from dfkdbench.runfolder import RunFolder
    from dfkdbench.teacherchannel import Pipes, WorkerChannel

    plan = Plan.model_validate_json(RunFolder(root).plan.read_text(encoding="utf-8"))
    channel = WorkerChannel(Pipes(reading, writing), plan.input.image_shape, len(plan.teachers))
    try:
        answer = answers_of(plan, TeacherLaunch.model_validate_json(text))
    except IntegrityError as error:
        channel.say_refused(error.message)
        return 1
    try:
        channel.say_ready()
        channel.serve(answer)
    except BrokenPipeError:  # the worker was killed
        return 0
    return 0


def answers_of(plan: Plan, launch: TeacherLaunch) -> Callable[[Question], Tensor]:
    """What answers a question with logits (B, K), or with classes (B,) where the access has no more.

    Raises:
        IntegrityError: Weights that are not the pinned ones.
    """
    import torch

    from dfkdbench.access import limit_teacher
    from dfkdbench.assembly import build_teachers
    from dfkdbench.devices import prepare_torch
    from dfkdbench.meter import Meter

    device = torch.device(plan.device)
    prepare_torch(device, launch.threads, launch.shortcuts)
    meter = Meter(plan.limits)
    networks = build_teachers(plan, [Path(path) for path in launch.weights], device)
    teachers = [limit_teacher(network, plan.access, meter) for network in networks]
    soft = "soft_labels" in plan.access

    def answer(question: Question) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=question.autocast):
            signal = teachers[question.teacher](question.images.to(device))
        return signal.logits if soft else signal.decisions()

    return answer


if __name__ == "__main__":
    leave(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))

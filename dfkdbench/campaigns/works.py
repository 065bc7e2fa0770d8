"""Teachers and runs of a campaign as work for the driver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dfkdbench.bench import Request
from dfkdbench.campaigns.driver import Work
from dfkdbench.campaigns.estimate import Measurements, students_bytes
from dfkdbench.campaigns.planning import MissingTeacher, Place, PlannedRun
from dfkdbench.errors import RunError
from dfkdbench.executors.jobs import KEPT, Job, Resources
from dfkdbench.files import exclusive_lock
from dfkdbench.records import read_result
from dfkdbench.teachers.card import RecipeKind
from dfkdbench.teachers.store import TeacherStore


def run_works(runs: Iterable[PlannedRun], each: Resources, measured: Measurements) -> list[Work]:
    """A work for each run, done where it has a record: also one that says that the method failed."""
    return [_run_work(run, each, measured) for run in runs]


def teacher_works(teachers: Iterable[MissingTeacher], each: Resources, place: Place, device: str) -> list[Work]:
    """A work for each missing teacher."""
    return [_teacher_work(teacher, each, place, device) for teacher in teachers]


def command_of(request: Request) -> tuple[str, ...]:
    """What stands after `dfkdbench` to make a request's run."""
    flags: Sequence[tuple[str, object]] = (
        ("--plugin", request.plugin),
        ("--dataset", request.dataset),
        ("--pair", request.pair),
        ("--budget", request.budget),
        ("--seeds", ",".join(map(str, request.seeds))),
        *(("--set", text) for text in request.settings),
        *(("--loss", text) for text in request.losses),
        ("--generator", request.generator),
        ("--combiner", request.combiner),
        ("--replay", request.replay),
        ("--aggregator", request.aggregator),
        ("--teachers", request.teacher_count if request.teacher_count > 1 else None),
        ("--teacher", request.teacher),
        ("--data-root", request.data_root and request.data_root.resolve()),
        ("--out", request.out.resolve()),
        ("--device", request.device),
        ("--threads", request.threads),
        ("--isolation", request.isolation),
        ("--checkpoint-seconds", request.checkpoint_seconds),
    )
    words = [f"{flag}={value}" for flag, value in flags if value is not None]
    return ("run", *words, *(["--download"] if request.download else []))


def is_busy(lock: Path) -> bool:
    """Whether a process holds a run's lock."""
    if not lock.exists():
        return False
    try:
        with exclusive_lock(lock, ""):
            return False
    except RunError:
        return True


def log_path(out: Path, key: str) -> Path:
    """Where a command's output goes."""
    return out / KEPT / "logs" / f"{key}.log"


def _run_work(run: PlannedRun, each: Resources, measured: Measurements) -> Work:
    key, folder = run.plan.run_id, run.folder
    estimate = measured.estimate(run.plan)

    def outcome() -> str | None:
        if not folder.result.exists():
            return None
        result = read_result(folder.result)
        if result.accuracy_final is None:
            return f"{result.status}: {result.error}"
        return f"{result.accuracy_final:.2f} % in {result.train_seconds:.0f} s"

    return Work(
        job=Job(key, command_of(run.request), each, log_path(run.request.out, key)),
        title=run.title,
        outcome=outcome,
        is_busy=lambda: is_busy(folder.lock),
        seconds=estimate.seconds if estimate else None,
        disk_bytes=students_bytes(run.plan),
    )


def _teacher_work(teacher: MissingTeacher, each: Resources, place: Place, device: str) -> Work:
    kind = "smoke" if teacher.smoke else "standard"
    words = [f"--dataset={teacher.dataset}", f"--arch={teacher.arch}", f"--seed={teacher.seed}", f"--recipe={kind}"]
    words += [f"--device={device}"]
    words += [f"--data-root={place.data_root.resolve()}"] if place.data_root else []
    words += ["--download"] if place.download else []

    def outcome() -> str | None:
        wanted: RecipeKind | None = None if teacher.smoke else "standard"
        found = TeacherStore.default().find(teacher.dataset, teacher.arch, teacher.seed, wanted)
        return f"{found.card.accuracy:.2f} % on the test set" if found else None

    key = f"teacher-{teacher.name}"
    return Work(
        job=Job(key, ("teacher", "train", *words), each, log_path(place.out, key)),
        title=f"teacher {teacher.name}",
        outcome=outcome,
        is_busy=lambda: False,
    )

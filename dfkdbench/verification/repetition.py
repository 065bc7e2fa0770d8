"""Levels 2 and 3: runs are made again, to see that judging can't disturb them and that the record was no accident."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from dfkdbench.bench import Prepared
from dfkdbench.datasets.images import ImageSet, TensorImages
from dfkdbench.errors import DfkdbenchError
from dfkdbench.files import read_no_follow, sha256_of, write_json
from dfkdbench.judge import execute
from dfkdbench.plan import Plan
from dfkdbench.records import Result
from dfkdbench.runfolder import RunFolder
from dfkdbench.shortcuts import SHORTCUTS
from dfkdbench.teacherhost import teacher_process
from dfkdbench.verification.checks import Findings
from dfkdbench.verification.remake import Remade
from dfkdbench.verification.spread import claim_of
from dfkdbench.verification.stored import Stored
from dfkdbench.verification.student import here, other_machine
from dfkdbench.workerprocess import InterruptedRun, first_line, signals_to, temporary_folder, training_process

_NOISE_SEED = 1
_NO_DEVICE = "The run was made on {0}, and there is none here. Repeat it on a machine with {0}."


class Watch(Protocol):
    """Shows how far runs are."""

    def __call__(self, line: str) -> None:
        """A line for the user."""
        ...

    def expect(self, plan: Plan) -> None:
        """A run is about to start."""
        ...

    def close(self) -> None:
        """It has ended."""
        ...


def check_blindness(stored: Stored, remade: Remade, watch: Watch, findings: Findings) -> None:
    """A short run judged with the test set, with noise, and not at all gives one student."""
    with findings.failing(2, "blindness"):
        if not here(stored.plan.device):
            raise DfkdbenchError(_NO_DEVICE.format(stored.plan.device))
        plan = remade.short_plan()
        prepared = remade.prepare(stored.threads, plan.device)
        students = students_by_judge(plan, prepared, watch)
        told = ", ".join(f"{way}: {sha256[:12]}" for way, sha256 in students.items())
        differs = f"who judges changes the student: {told}" if len(set(students.values())) > 1 else ""
        student, judges = students["noise"][:12], ", ".join(students)
        fine = f"one student ({student}) after {plan.student_steps:,} steps, whoever judges: {judges}"
        findings.add(2, "blindness", differs, fine)


def students_by_judge(plan: Plan, prepared: Prepared, watch: Watch) -> dict[str, str]:
    """Hash of the student of three runs of a plan: judged with the test set, with noise, and not at all.

    Raises:
        DfkdbenchError: A run did not finish.
    """
    noise = noise_like(prepared.test_set, plan.device)
    ways: dict[str, Callable[[Path], str]] = {
        "the test set": lambda root: _judged(plan, prepared, root, prepared.test_set),
        "noise": lambda root: _judged(plan, prepared, root, noise),
        "no judge": lambda root: _unjudged(plan, prepared, root),
    }
    students = {}
    for way, student_of in ways.items():
        watch(f"blindness: {plan.student_steps:,} student steps, judged with {way}")
        watch.expect(plan)
        with tempfile.TemporaryDirectory(prefix="dfkdbench-verify-") as root:
            students[way] = student_of(Path(root))
        watch.close()
    return students


def check_repetition(stored: Stored, remade: Remade, watch: Watch, findings: Findings) -> None:
    """The same plan again gives the same student, or elsewhere one of the claimed spread."""
    record, plan = stored.record, stored.plan
    with findings.failing(3, "repetition"):
        if not here(plan.device):
            raise DfkdbenchError(_NO_DEVICE.format(plan.device))
        prepared = remade.prepare(
            stored.threads, plan.device, SHORTCUTS if stored.shortcuts is None else stored.shortcuts
        )
        watch(
            f"repetition: {plan.student_steps:,} student steps, seed {plan.seed}; recorded {record.train_seconds:.0f} s"
        )
        watch.expect(plan)
        with tempfile.TemporaryDirectory(prefix="dfkdbench-verify-") as root:
            again = execute(plan, Path(root), prepared.bench(plan))
        watch.close()
        findings.add(3, "repetition", *compare(stored, again))


def compare(stored: Stored, again: Result) -> tuple[str, str]:
    """What speaks against a record when its run was repeated, and what to say where nothing does."""
    record = stored.record
    if again.status != record.status:
        return f"recorded as {record.status}, ended as {again.status} now: {again.error}", ""
    if record.accuracy_final is None or again.accuracy_final is None:
        return "", f"ended as {again.status} again"
    if again.student_sha256 == record.student_sha256:
        if again.accuracy_final == record.accuracy_final or other_machine(stored):
            return "", f"the same student to the bit, {again.accuracy_final:.2f} %"
        return f"the same student, but {again.accuracy_final:.2f} %, recorded {record.accuracy_final:.2f} %", ""
    both = f"recorded {record.accuracy_final:.2f} %, repeated {again.accuracy_final:.2f} %"
    known = bool(stored.packages) and stored.threads is not None
    difference = other_machine(stored) or (_other_shortcuts(stored) if known else "")
    if known and not difference:
        return (
            f"another student ({both}), where hardware, versions and number of threads ({stored.threads}) are the "
            "recorded ones and it must be the same to the bit",
            "",
        )
    claim = claim_of(stored)
    why = difference or "the folder does not say with how many threads or which versions"
    if claim.low <= again.accuracy_final <= claim.high:
        return "", f"{both}, within {claim}; another student, as may be: {why}"
    return f"{both}, outside {claim} ({why})", ""


def _other_shortcuts(stored: Stored) -> str:
    """How the record's shortcuts differ from those that a repetition can have here, or nothing."""
    if stored.record.capture is not None and stored.record.capture.state == "compile":
        return "networks eager here, compiled there"
    if stored.shortcuts is None:
        return "the folder does not say with which shortcuts"
    unknown = stored.shortcuts - set(SHORTCUTS)
    return f"shortcuts that are not known here: {', '.join(sorted(unknown))}" if unknown else ""


def noise_like(images: ImageSet, device: torch.device | str) -> TensorImages:
    """Noise and labels drawn by lot, as many and as large as a test set."""
    rng = torch.Generator().manual_seed(_NOISE_SEED)
    pixels = torch.randint(0, 256, (len(images), *images.shape), dtype=torch.uint8, generator=rng)
    labels = torch.randint(0, images.classes, (len(images),), generator=rng)
    return TensorImages(pixels, labels, images.classes, "noise").to(device)


def _judged(plan: Plan, prepared: Prepared, root: Path, test_set: ImageSet) -> str:
    """Hash of the student of a run that is judged with some images."""
    result = execute(plan, root, replace(prepared.bench(plan), test_set=test_set))
    if result.student_sha256 is None:
        raise DfkdbenchError(f"The short run ended as {result.status}: {result.error}")
    return result.student_sha256


def _unjudged(plan: Plan, prepared: Prepared, root: Path) -> str:
    """Hash of the student of a run that nobody reads before it has ended."""
    folder = RunFolder(root / plan.run_id)
    folder.root.mkdir()
    folder.create()
    write_json(folder.plan, plan.model_dump(mode="json"))
    with temporary_folder() as temporary, temporary_folder() as apart:
        launch = prepared.bench(plan).launch(folder, temporary, apart)
        with (
            teacher_process(folder, launch.teacher, apart) as host,
            training_process(plan, folder, launch, temporary, host.ends if host else ()) as worker,
            signals_to(worker) as received,
        ):
            first_line(worker)
            worker.wait()
    if received:
        raise InterruptedRun(received[0])
    return sha256_of(read_no_follow(folder.snapshot(len(plan.evaluate_at) - 1)))

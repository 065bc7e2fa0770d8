"""Level 1: the stored student is of the planned architecture, is no teacher, and is as good as its record says."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from dfkdbench.assembly import build_network
from dfkdbench.datasets.images import ImageSet
from dfkdbench.environment import environment, hardware_name
from dfkdbench.errors import DfkdbenchError
from dfkdbench.evaluate import Evaluation, eval_mode, judge_student, normalised_batches
from dfkdbench.figures.teachers import JudgesTeachers
from dfkdbench.files import read_no_follow, sha256_of
from dfkdbench.plan import InputSpec
from dfkdbench.readout import judge_heads
from dfkdbench.records import Evaluation as Recorded
from dfkdbench.records import HeadFigures
from dfkdbench.runfolder import RunFolder
from dfkdbench.verification.checks import Findings
from dfkdbench.verification.figures import Allowance, check_figures
from dfkdbench.verification.remake import Remade
from dfkdbench.verification.stored import Stored
from dfkdbench.weights import load_weights, parse_weights, read_weights, size_limit

IMAGES_A_MISS = 1000
"""On another machine one image in so many may be judged otherwise, and one in any case: sums are rounded otherwise."""

_SAME_WEIGHTS = 1e-3
"""Relative distance below which a student's weights count as its teacher's."""

_SAME_ANSWERS = 1e-3
"""One minus the cosine of all centred logits, below which a student answers as its teacher does. Of 149 honest ones on
digits the nearest is at 0.022; one of the teacher's own architecture, distilled on real data, is at 0.052."""

_CALIBRATION_POINTS = 0.05
"""Calibration errors may differ by this: a confidence at the edge of a bin is rounded."""


def here(device: str) -> str:
    """The hardware of a device on this machine, or nothing where there is no such device."""
    try:
        torch.zeros(1, device=device)
        return hardware_name(device)
    except (RuntimeError, AssertionError):
        return ""


def other_machine(stored: Stored) -> str:
    """How this machine differs from the one of the record as far as that is written down, or nothing."""
    found = here(stored.plan.device)
    if found != stored.record.hardware:
        return f"{found or 'no ' + stored.plan.device} here, {stored.record.hardware} there"
    installed = environment(stored.plan)["packages"]
    for name in ("torch", "numpy"):
        if name in stored.packages and stored.packages[name] != installed[name]:
            return f"{name} {installed[name]} here, {stored.packages[name]} there"
    return ""


def check_student(stored: Stored, remade: Remade, findings: Findings) -> None:
    """Makes every check of this level."""
    plan = stored.plan
    device = torch.device(plan.device if here(plan.device) else "cpu")
    with findings.failing(1, "test set"):
        test_set = remade.load_test_set(device)
        findings.add(1, "test set", "", f"{len(test_set):,} images with the planned fingerprint")
        network = build_network(plan.student, plan.input).to(device)
        if stored.student is None:
            findings.skip(1, "student", f"there is none: the run ended as {stored.record.status}")
            return
        with findings.failing(1, "weights"):
            if len(stored.student) > size_limit(network):
                raise DfkdbenchError(
                    f"student.safetensors has {len(stored.student):,} bytes, more than a {plan.student.name}"
                )
            found = judge_student(network, stored.student, "student.safetensors", plan, test_set)
            findings.add(1, "weights", "", f"of the architecture {plan.student.name}, every name, shape and type")
            _check_no_teacher(stored, remade, network, test_set, findings)
            _check_accuracy(stored, found, findings)
            _check_curve(stored, network, test_set, findings)
            _check_heads(stored, remade, network, test_set, findings)
            _check_figures(stored, remade, found, test_set, findings)


def _check_no_teacher(
    stored: Stored, remade: Remade, network: nn.Module, test_set: ImageSet, findings: Findings
) -> None:
    """Neither weights nor answers are those of a teacher.

    Args:
        network: With the student's weights.
    """
    record, plan = stored.record, stored.plan
    try:
        bundles = remade.find_teachers()
    except DfkdbenchError as error:
        findings.skip(1, "no teacher", error.message)
        return
    accuracy = bundles[0].card.accuracy
    wrong = (
        ""
        if accuracy == record.teacher_accuracy
        else f"recorded {record.teacher_accuracy} %, its card says {accuracy} %"
    )
    findings.add(1, "teacher", wrong, f"{bundles[0].name} with {accuracy:.2f} %, as on its card")
    student = parse_weights(stored.student or b"", "student.safetensors")
    for bundle, planned in zip(bundles, plan.teachers, strict=True):
        weights = read_weights(bundle.weights, bundle.sha256)
        distance = _distance(student, weights)
        if distance is not None and distance < _SAME_WEIGHTS:
            close = "are" if distance == 0 else f"differ by {distance:.1e} of their size from"
            findings.add(1, "no teacher", f"the student's weights {close} those of the teacher {bundle.name}", "")
            return
        teacher = build_network(planned.model, plan.input)
        load_weights(teacher, weights, bundle.name)
        apart = _apart(_answers(network, test_set, plan.input), _answers(teacher, test_set, plan.input))
        if apart < _SAME_ANSWERS:
            by = f"by other weights: {apart:.1e} apart"
            findings.add(1, "no teacher", f"the student answers as the teacher {bundle.name} does, {by}", "")
            return
    same = plan.student.name == plan.teachers[0].model.name
    findings.add(1, "no teacher", "", "weights of its own" + (", in the teacher's architecture" if same else ""))


def _distance(student: dict[str, Tensor], teacher: dict[str, Tensor]) -> float | None:
    """Distance of all floating-point tensors over the teacher's size; None for other names or shapes."""
    if {name: tensor.shape for name, tensor in student.items()} != {n: t.shape for n, t in teacher.items()}:
        return None
    pairs = [
        (student[name].double(), tensor.double()) for name, tensor in teacher.items() if tensor.is_floating_point()
    ]
    apart = sum(float((mine - its).square().sum()) for mine, its in pairs)
    return math.sqrt(apart / max(sum(float(its.square().sum()) for _, its in pairs), 1e-30))


def _answers(network: nn.Module, images: ImageSet, spec: InputSpec) -> Tensor:
    """Logits (N, K) of all images, less their mean over the classes, on the CPU."""
    device = next(network.parameters()).device
    with torch.no_grad(), eval_mode(network):
        batches = normalised_batches(images, spec.mean, spec.std, device)
        logits = torch.cat([network(batch).double().cpu() for batch, _ in batches])
    return logits - logits.mean(1, keepdim=True)


def _apart(first: Tensor, second: Tensor) -> float:
    """One minus the cosine of all answers: 0 where they are the same but for a factor."""
    return 1 - float(torch.nn.functional.cosine_similarity(first.flatten(), second.flatten(), dim=0))


def _check_accuracy(stored: Stored, found: Evaluation, findings: Findings) -> None:
    recorded = stored.record.evaluations[-1]
    allowed, where = _allowed(stored, found.total)
    problem = _mismatch(recorded, found, allowed)
    findings.add(1, "accuracy", f"{problem} ({where})" if problem else "", f"{found.accuracy:.2f} % again ({where})")


def _allowed(stored: Stored, images: int) -> tuple[int, str]:
    """How many images may be judged otherwise here, and why."""
    difference = other_machine(stored)
    if not difference:
        return 0, "same hardware: must be equal"
    allowed = max(1, images // IMAGES_A_MISS)
    return allowed, f"another machine, {difference}: within {allowed} of {images:,} images"


def _mismatch(recorded: Recorded, found: Evaluation, allowed: int) -> str:
    """How an evaluation differs from the recorded one, or nothing."""
    missed = abs(recorded.accuracy * found.total / 100 - found.correct)
    if missed > allowed + 1e-6:
        return (
            f"recorded {recorded.accuracy:.2f} %, found {found.accuracy:.2f} %: {missed:.0f} of {found.total:,} images"
        )
    if allowed:
        return ""
    if not math.isclose(recorded.worst_class_accuracy, found.worst_class_accuracy, abs_tol=1e-9):
        return f"worst class recorded {recorded.worst_class_accuracy:.2f} %, found {found.worst_class_accuracy:.2f} %"
    if abs(recorded.calibration_error - found.calibration_error) > _CALIBRATION_POINTS:
        return f"calibration error recorded {recorded.calibration_error:.2f}, found {found.calibration_error:.2f}"
    return ""


def _check_curve(stored: Stored, network: nn.Module, test_set: ImageSet, findings: Findings) -> None:
    """Every snapshot that is still in the folder."""
    folder, evaluations = stored.folder, stored.record.evaluations
    kept = [each for each in evaluations if folder.snapshot(each.index).exists()]
    problem = ""
    for each in kept:
        data = read_no_follow(folder.snapshot(each.index), limit=size_limit(network))
        if sha256_of(data) != each.sha256:
            problem = f"snapshot {each.index} is not the one that was evaluated: another hash"
        else:
            found = judge_student(network, data, f"snapshot {each.index}", stored.plan, test_set)
            allowed, where = _allowed(stored, found.total)
            problem = _mismatch(each, found, allowed)
            problem = f"evaluation {each.index}: {problem} ({where})" if problem else ""
        if problem:
            break
    if not kept:
        findings.skip(1, "curve", "the folder holds no snapshots: of the curve only the last point was evaluated again")
        return
    findings.add(1, "curve", problem, f"{len(kept)} of {len(evaluations)} snapshots are there and as good as recorded")


def _check_figures(stored: Stored, remade: Remade, found: Evaluation, test_set: ImageSet, findings: Findings) -> None:
    """Figures beside accuracy, where the teachers are here that most of them are about."""
    try:
        weights = [bundle.weights for bundle in remade.find_teachers()]
    except DfkdbenchError:
        return  # told before
    device = torch.device(stored.plan.device if here(stored.plan.device) else "cpu")
    teachers = JudgesTeachers(stored.plan, weights, test_set, device)
    check_figures(stored, found, teachers, Allowance(*_allowed(stored, found.total)), findings)


def _check_heads(stored: Stored, remade: Remade, network: nn.Module, test_set: ImageSet, findings: Findings) -> None:
    """Each head of a student that has several, and the readout, which is fitted again."""
    record, heads = stored.record, remade.cell.student.item.heads
    if not heads:
        wrong = "the record has accuracies of heads, and the student has none" if record.head_accuracies else ""
        if wrong:
            findings.add(1, "heads", wrong, "")
        return
    judge_student(network, stored.student or b"", "student.safetensors", stored.plan, test_set)
    with findings.failing(1, "heads"), tempfile.TemporaryDirectory(prefix="dfkdbench-verify-") as scratch:
        samples = remade.load_readout_samples()
        found = judge_heads(stored.plan, RunFolder(Path(scratch)), network, heads, test_set, samples)
        findings.add(1, "heads", _wrong_heads(stored, found, len(test_set)), f"{heads} heads, each as good as recorded")


def _wrong_heads(stored: Stored, found: HeadFigures, images: int) -> str:
    record = stored.record
    allowed, where = _allowed(stored, images)
    recorded = {f"head {index}": value for index, value in enumerate(record.head_accuracies)}
    if len(recorded) != len(found.accuracies):
        return f"{len(recorded)} heads in the record, {len(found.accuracies)} in the student"
    again = {f"head {index}": value for index, value in enumerate(found.accuracies)}
    recorded["ensemble"], again["ensemble"] = record.accuracy_ensemble or 0.0, found.ensemble
    if found.readout is not None:
        recorded["readout"], again["readout"] = record.accuracy_final or 0.0, found.readout.accuracy
        if record.readout_samples != found.readout.samples:
            return (
                f"the readout was fitted on {found.readout.samples} samples, the record says {record.readout_samples}"
            )
        if not allowed and record.readout_sha256 != found.readout.sha256:
            return f"the readout that is fitted to this student is another one than recorded ({where})"
    for name, value in recorded.items():
        if abs(value - again[name]) * images / 100 > allowed + 1e-6:
            return f"{name}: recorded {value:.2f} %, found {again[name]:.2f} % ({where})"
    return ""

"""Records: what a finished run says of itself, and tables of many."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from dfkdbench.descriptors import Tuning
from dfkdbench.environment import hardware_name
from dfkdbench.errors import DataError, IntegrityError
from dfkdbench.figures.curve import curve_figures
from dfkdbench.figures.imagefigures import ImageFigures
from dfkdbench.files import canonical_json, read_json, sha256_of
from dfkdbench.plan import Plan
from dfkdbench.reports import Capture, plain
from dfkdbench.runfolder import RESULT_FILE
from dfkdbench.tuning import Provenance

if TYPE_CHECKING:
    import pandas

SCHEMA = 1
FINAL_FIGURES = ("agreement", "calibration_error", "worst_class_accuracy", "worst_class")
"""Figures of an evaluation that tables show of the last one."""


class Evaluation(BaseModel):
    """A snapshot on the test set, all figures in percent, and what was spent and held in memory until then."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: int
    student_steps: int
    student_samples: int
    teacher_queries: int
    replay_bytes: int = 0
    seconds: float
    accuracy: float
    calibration_error: float
    worst_class_accuracy: float
    worst_class: int | None = None
    agreement: float | None = None
    sha256: str


@dataclass(frozen=True)
class ReadoutFigures:
    """A readout of a student's heads: its name, its accuracy in percent, what it was fitted on, and its hash."""

    name: str
    accuracy: float
    samples: int
    sha256: str


@dataclass(frozen=True)
class HeadFigures:
    """Accuracies of a final student with several heads, in percent.

    Attributes:
        accuracies: Of each head alone.
        ensemble: Of the student's own logits. No real sample takes part in it.
        readout: What was fitted to the heads on labelled real samples, where something was.
    """

    accuracies: tuple[float, ...]
    ensemble: float
    readout: ReadoutFigures | None = None


class Result(BaseModel):
    """The record of a run; `docs/metrics.md` explains every figure.

    Accuracies are in percent. `accuracy_final` is the one at the end of the declared budget and the only
    one that ranks; `accuracy_oracle` is the best on the test set; mean, variance, last five and worst drop are over all
    evaluations (see `dfkdbench.figures.curve`). A failed run keeps what it had. `class_accuracies` are those of the
    last evaluation; the figures of synthetic images are of those that were handed over at the end.

    Of a student with several heads: the accuracy of each, their mean, and `accuracy_ensemble`, that of all together.
    Where a readout of the heads was fitted on `readout_samples` labelled real samples, `accuracy_final` is the
    readout's, and the league says so. The ensemble's accuracy and the curve stay without real samples.

    `changed_settings` and `tuning` are those of `Provenance`, and None in a record that does not say. They are what
    the method's package said when the run ended; no hash holds them, and `dfkdbench.tuning.changed_settings` finds the
    former again from the plan.

    `processes` is how many did the run together; `batch_statistics` are then those of `dfkdbench.sharing.Sharing`.
    `capture` is how the last worker said that it ran its rounds, and None where none said so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA
    run_id: str
    protocol: str
    plugin: str
    distribution: str
    dataset: str
    pair: str
    budget: str
    seed: int
    league: str
    status: str
    error: str
    accuracy_final: float | None
    accuracy_oracle: float | None
    accuracy_mean: float | None
    accuracy_variance: float | None
    accuracy_last5: float | None
    worst_drop: float | None
    teacher_accuracy: float
    student_sha256: str | None
    teacher_sha256: str
    student_samples: int
    teacher_queries: int
    train_seconds: float
    peak_memory_mb: float
    replay_bytes: int
    isolation: str
    device: str
    hardware: str
    finished_at: str
    evaluations: tuple[Evaluation, ...]
    head_accuracies: tuple[float, ...] = ()
    accuracy_mean_head: float | None = None
    accuracy_ensemble: float | None = None
    readout: str | None = None
    readout_samples: int = 0
    readout_sha256: str | None = None
    class_accuracies: tuple[float | None, ...] = ()
    synthetic_images: int = 0
    synthetic_sha256: str | None = None
    synthetic_class_balance: float | None = None
    synthetic_diversity: float | None = None
    synthetic_frechet: float | None = None
    changed_settings: tuple[str, ...] | None = None
    tuning: tuple[Tuning, ...] | None = None
    processes: int = 1
    batch_statistics: str | None = None
    capture: Capture | None = None

    @property
    def tuned(self) -> bool | None:
        """Whether a setting was changed away from the preset: such a run never ranks. None where it is not known."""
        return None if self.changed_settings is None else bool(self.changed_settings)


def summarise(
    plan: Plan,
    status: str,
    error: str,
    evaluations: Sequence[Mapping[str, Any]],
    last: Mapping[str, Any],
    isolation: str,
    teacher_accuracy: float,
    heads: HeadFigures | None = None,
    class_accuracies: Sequence[float | None] = (),
    images: ImageFigures | None = None,
    provenance: Provenance | None = None,
) -> Result:
    """The record of a run from its evaluations and the worker's last report.

    Args:
        class_accuracies: Of the last evaluation.
        images: Of the synthetic images, where the run made some.
    """
    accuracies = [float(evaluation["accuracy"]) for evaluation in evaluations]
    curve = curve_figures(accuracies)
    finished = status == "finished"
    readout = heads.readout if heads else None
    final = (readout.accuracy if readout else accuracies[-1]) if finished else None
    return Result(
        run_id=plan.run_id,
        protocol=plan.protocol,
        plugin=plan.plugin,
        distribution=plan.distribution,
        dataset=plan.input.dataset,
        pair=plan.pair,
        budget=plan.budget.name,
        seed=plan.seed,
        league=plan.league,
        status=status,
        error=error,
        accuracy_final=final,
        accuracy_oracle=max(curve.best, final or 0.0) if curve else None,
        accuracy_mean=curve.mean if curve else None,
        accuracy_variance=curve.variance if curve else None,
        accuracy_last5=curve.last5 if curve else None,
        worst_drop=curve.worst_drop if curve else None,
        teacher_accuracy=teacher_accuracy,
        student_sha256=str(evaluations[-1]["sha256"]) if finished else None,
        teacher_sha256=plan.teachers[0].sha256,
        student_samples=int(last.get("student_samples", 0)),
        teacher_queries=int(last.get("teacher_queries", 0)),
        train_seconds=float(last.get("seconds", 0.0)),
        peak_memory_mb=float(last.get("peak_memory_mb", 0.0)),
        replay_bytes=int(last.get("replay_bytes", 0)),
        isolation=isolation,
        device=plan.device,
        hardware=hardware_name(plan.device),
        finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        evaluations=tuple(Evaluation.model_validate(evaluation) for evaluation in evaluations),
        head_accuracies=heads.accuracies if heads else (),
        accuracy_mean_head=float(np.mean(heads.accuracies)) if heads else None,
        accuracy_ensemble=heads.ensemble if heads else None,
        readout=readout.name if readout else None,
        readout_samples=readout.samples if readout else 0,
        readout_sha256=readout.sha256 if readout else None,
        class_accuracies=tuple(class_accuracies),
        **(asdict(images) if images else {}),
        changed_settings=provenance.changed if provenance else None,
        tuning=provenance.tunings if provenance else None,
        processes=plan.processes,
        batch_statistics=plan.batch_statistics,
        capture=_capture(last),
    )


def _capture(last: Mapping[str, Any]) -> Capture | None:
    """What a worker's reports say of it, made harmless."""
    said = last.get("capture")
    return None if said is None else Capture.model_validate({**said, "why": plain(said["why"])})


def read_result(path: Path) -> Result:
    """A record from its file.

    Raises:
        IntegrityError: Not a whole record of this schema.
    """
    tree = read_json(path)
    if isinstance(tree, dict) and tree.get("schema_version", SCHEMA) != SCHEMA:
        raise IntegrityError(f"{path} has schema {tree['schema_version']}; this version reads schema {SCHEMA}.")
    try:
        return Result.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "the file"
        raise IntegrityError(f"{path} is no record of a run: {place}: {first['msg']}.") from None


def find_results(root: Path) -> tuple[list[Result], list[str]]:
    """Every readable record below a runs folder, and a message for each that is not.

    Raises:
        DataError: There is no such folder.
    """
    if not root.is_dir():
        raise DataError(f"There is no runs folder {root}. Make one with: dfkdbench run --plugin NAME --dataset NAME")
    results, problems = [], []
    for path in sorted(root.glob(f"*/{RESULT_FILE}")):
        try:
            results.append(read_result(path))
        except IntegrityError as error:
            problems.append(error.message)
    return results, problems


def settings_of(folder: Path) -> str:
    """A short hash of what a run's plan says beside its seed and device: equal for runs that may be averaged."""
    try:
        plan = read_json(folder / "plan.json")
    except IntegrityError:
        return "?"
    if not isinstance(plan, dict):
        return "?"
    kept = {key: value for key, value in plan.items() if key not in ("seed", "device")}
    return sha256_of(canonical_json(kept).encode())[:8]


def results_frame(results: Sequence[Result]) -> pandas.DataFrame:
    """One row a run, without the curves, and with the figures of a finished run's last evaluation."""
    import pandas

    own = [name for name in Result.model_fields if name != "evaluations"]
    rows = [result.model_dump(include=set(own)) | _final_figures(result) for result in results]
    return pandas.DataFrame(rows, columns=[*own, *FINAL_FIGURES]).astype({"worst_class": "Int64"})


def _final_figures(result: Result) -> dict[str, Any]:
    ended = result.status == "finished" and result.evaluations
    last = result.evaluations[-1].model_dump() if ended else {}
    return {name: last.get(name) for name in FINAL_FIGURES}

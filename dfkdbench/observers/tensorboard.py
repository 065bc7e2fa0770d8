"""Curves for TensorBoard, one folder a run. Wants the extra: pip install "dfkdbench[tensorboard]"."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfkdbench.errors import ConfigError
from dfkdbench.hookspecs import hookimpl

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_EVALUATED = ("accuracy", "agreement", "calibration_error", "worst_class_accuracy")


class TensorBoard:
    """Losses and figures of evaluations over the student's steps; those of the generator's steps alone stand at 0.

    Args:
        place: The folder; `tensorboard --logdir` takes it.

    Raises:
        ConfigError: The package tensorboard is not installed.
    """

    def __init__(self, place: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                f"The observer 'tensorboard' needs the package tensorboard, which can't be imported ({error}). "
                'Install it with: pip install "dfkdbench[tensorboard]"'
            ) from None
        self._make = SummaryWriter
        self._place = place
        self._writers: dict[str, SummaryWriter] = {}

    @hookimpl
    def dfkdbench_report(self, run_id: str, report: Mapping[str, Any]) -> None:
        """Adds a point to the curve of each loss."""
        step = int(report.get("student_steps", 0))
        for name, value in report.get("losses", {}).items():
            self._writer(run_id).add_scalar(f"losses/{name}", float(value), step)

    @hookimpl
    def dfkdbench_evaluated(self, run_id: str, evaluation: Mapping[str, Any]) -> None:
        """Adds a point to the curve of each figure; accuracies in percent."""
        for name in _EVALUATED:
            if evaluation.get(name) is not None:
                self._writer(run_id).add_scalar(f"test/{name}", evaluation[name], int(evaluation["student_steps"]))

    @hookimpl
    def dfkdbench_run_finished(self, run_id: str, result: Mapping[str, Any]) -> None:
        """Writes out the run's curves."""
        if run_id in self._writers:
            self._writers.pop(run_id).close()

    def close(self) -> None:
        """Writes out the curves of runs that did not finish."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, run_id: str) -> SummaryWriter:
        if run_id not in self._writers:
            self._writers[run_id] = self._make(str(self._place / run_id))
        return self._writers[run_id]

"""The observer `tensorboard`, read back. Wants the extra: pip install ".[tensorboard]"."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfkdbench.observers import observing
from dfkdbench.registry import Registry

pytest.importorskip("tensorboard", reason="the extra dfkdbench[tensorboard] is not installed")


def test_curves__are_read_back(registry: Registry, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    hook = registry.manager.hook
    with observing(registry.manager, [f"tensorboard:{tmp_path}"]):
        for step, run_id in ((5, "r1"), (10, "r1"), (5, "r2")):
            hook.dfkdbench_report(run_id=run_id, report={"student_steps": step, "losses": {"kl": step / 4}})
            hook.dfkdbench_evaluated(run_id=run_id, evaluation={"student_steps": step, "accuracy": 80.0 + step})
        hook.dfkdbench_run_finished(run_id="r1", result={})
    for run_id, steps in (("r1", [5, 10]), ("r2", [5])):
        curves = EventAccumulator(str(tmp_path / run_id)).Reload()
        assert [(point.step, point.value) for point in curves.Scalars("losses/kl")] == [(s, s / 4) for s in steps]
        assert [(point.step, point.value) for point in curves.Scalars("test/accuracy")] == [(s, 80 + s) for s in steps]

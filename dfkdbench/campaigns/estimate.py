"""What a campaign will take, by what was measured: device time by step times in records, disk by the student's size."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfkdbench.errors import IntegrityError
from dfkdbench.files import read_json
from dfkdbench.plan import Plan
from dfkdbench.runfolder import RESULT_FILE

_NEAREST_FIRST = (
    "the same cell and parts",
    "the same method and pair, other tier or settings",
    "the same method and pair, another data set of this shape",
)


@dataclass(frozen=True)
class Estimate:
    """Training seconds of a run, and which records they are from."""

    seconds: float
    source: str


class Measurements:
    """Seconds per step of finished runs.

    Args:
        folders: Folders of runs or of a board's entries; those that are not there are empty.

    Attributes:
        hardware: What the records were made on.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._steps: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        self.records = 0
        self.hardware: set[str] = set()
        for folder in folders:
            for plan, result in _finished(folder):
                self._take(plan, result)

    def estimate(self, plan: Plan) -> Estimate | None:
        """By the median of the nearest records, or None where nothing like it was measured."""
        tree = plan.model_dump(mode="json")
        for key, source in zip(_keys(tree), _NEAREST_FIRST, strict=True):
            if measured := self._steps.get(key):
                return Estimate(statistics.median(measured) * _steps_of(tree), source)
        return None

    def _take(self, plan: dict[str, Any], result: dict[str, Any]) -> None:
        try:
            together = (result.get("capture") or {}).get("together", 1)
            per_step = float(result["train_seconds"]) / together / _steps_of(plan)
            for key in _keys(plan):
                self._steps[key].append(per_step)
            self.hardware.add(str(result["hardware"]))
            self.records += 1
        except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError):
            return  # of another schema: it says nothing here


def students_bytes(plan: Plan) -> int:
    """What a finished run keeps: a student at every evaluation, and the last."""
    import torch

    from dfkdbench.assembly import build_network

    with torch.device("meta"):
        network = build_network(plan.student, plan.input)
    one: int = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    return one * (len(plan.evaluate_at) + 1)


def _finished(folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for path in sorted(folder.glob(f"*/{RESULT_FILE}")):
        try:
            result, plan = read_json(path), read_json(path.with_name("plan.json"))
        except IntegrityError:
            continue
        if isinstance(result, dict) and isinstance(plan, dict) and result.get("status") == "finished":
            yield plan, result


def _keys(plan: dict[str, Any]) -> tuple[tuple[Any, ...], ...]:
    """What runs of about the same step time have in common, the nearest first."""
    cell = (plan["plugin"], plan["input"]["dataset"], plan["pair"], plan["device"].partition(":")[0])
    parts = [f"{slot}={part['name']}" for slot, part in plan["slots"].items()]
    losses = [name for group in ("losses", "student_losses") for name in plan[group]]
    near = (*cell, plan["budget"]["name"], len(plan["teachers"]), *sorted([*parts, *losses]))
    shape = (plan["plugin"], plan["input"]["channels"], plan["input"]["image_size"], plan["pair"], cell[-1])
    return near, cell, shape


def _steps_of(plan: dict[str, Any]) -> int:
    return int(plan["student_steps"]) + int(plan["generator_steps"])

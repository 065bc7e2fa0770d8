"""What records claim about the spread over seeds, and where another run should then lie."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from scipy.stats import t as student_t

from dfkdbench.errors import IntegrityError
from dfkdbench.plan import Plan
from dfkdbench.runfolder import RESULT_FILE, RunFolder
from dfkdbench.verification.stored import Stored, read_plan, read_record

CONFIDENCE = 0.95
POINTS_OF_ONE_SEED = 5.0
"""Half the width around a single seed, in points of accuracy. One seed claims no spread, so this is a convention."""

FEWEST_POINTS = 0.5
"""Half the width at least: seeds can agree by chance."""


@dataclass(frozen=True)
class Claim:
    """Where a further run should end, in percent, and what that rests on."""

    low: float
    high: float
    seeds: tuple[int, ...]

    def __str__(self) -> str:
        """The interval in words."""
        interval = f"{self.low:.2f} to {self.high:.2f} %"
        if len(self.seeds) == 1:
            return f"{interval} (one seed claims no spread: a tolerance of {POINTS_OF_ONE_SEED} points)"
        return f"{interval} (95 % prediction interval of {len(self.seeds)} seeds: {', '.join(map(str, self.seeds))})"


def claim_of(stored: Stored) -> Claim:
    """The claim of a record and of the finished seeds of the same settings that lie beside it."""
    if stored.record.accuracy_final is None:
        raise IntegrityError(f"{stored.folder.result}: a run that ended as {stored.record.status} claims no accuracy.")
    accuracies = {stored.plan.seed: stored.record.accuracy_final}
    for path in sorted(stored.folder.root.parent.glob(f"*/{RESULT_FILE}")):
        accuracy = _accuracy_of_sibling(RunFolder(path.parent), stored.plan)
        if accuracy is not None:
            accuracies.setdefault(*accuracy)
    return predict(accuracies)


def predict(accuracies: dict[int, float]) -> Claim:
    """The interval for one further value, by Student's t, from one value a seed."""
    values, seeds = list(accuracies.values()), tuple(sorted(accuracies))
    middle, count = statistics.fmean(values), len(values)
    if count == 1:
        return Claim(middle - POINTS_OF_ONE_SEED, middle + POINTS_OF_ONE_SEED, seeds)
    quantile = float(student_t.ppf((1 + CONFIDENCE) / 2, count - 1))
    half = max(FEWEST_POINTS, quantile * statistics.stdev(values) * math.sqrt(1 + 1 / count))
    return Claim(middle - half, middle + half, seeds)


def _accuracy_of_sibling(folder: RunFolder, plan: Plan) -> tuple[int, float] | None:
    """Seed and accuracy of a run that differs in its seed alone; None for any other, and for damaged ones."""
    try:
        record, other = read_record(folder), read_plan(folder)
    except IntegrityError:
        return None
    same = other.model_copy(update={"seed": plan.seed}) == plan and record.run_id == other.run_id == folder.root.name
    return (other.seed, record.accuracy_final) if same and record.accuracy_final is not None else None

"""Whether a record is what it says: files, student, blindness and a repetition, each level with those below it."""

from __future__ import annotations

from pathlib import Path

from dfkdbench.datasets.loading import load_dataset
from dfkdbench.registry import Registry
from dfkdbench.runfolder import RunFolder
from dfkdbench.verification.checks import LEVELS, Check, Findings, reached
from dfkdbench.verification.contents import check_contents, check_whole_images
from dfkdbench.verification.remake import remake
from dfkdbench.verification.repetition import Watch, check_blindness, check_repetition
from dfkdbench.verification.stored import Stored, find_run
from dfkdbench.verification.student import check_student

__all__ = ["LEVELS", "Check", "Watch", "find_run", "reached", "verify"]


def verify(folder: RunFolder, level: int, data_root: Path | None, registry: Registry, watch: Watch) -> list[Check]:
    """Checks a run up to a level; a level is begun only where nothing below it failed.

    Args:
        data_root: Folder with the data set's files.
        watch: Shows the runs of levels 2 and 3.
    """
    findings = Findings()
    stored = check_contents(folder, findings)
    if stored is not None:
        _check_images(stored, registry, data_root, findings)
    remade = None
    if stored is not None and level > 0 and findings.hold:
        with findings.failing(1, "installed"):
            remade = remake(stored.plan, registry, data_root)
            findings.add(1, "installed", "", "the methods and parts installed here make the same plan of this recipe")
    for number in range(1, level + 1):
        if stored is None or remade is None or not findings.hold:
            findings.skip(number, LEVELS[number], "not tried, since a check before it failed")
        elif number == 1:
            check_student(stored, remade, findings)
        elif stored.student is None and number == 2:
            findings.skip(number, "blindness", f"the run ended as {stored.record.status}")
        elif number == 2:
            check_blindness(stored, remade, watch, findings)
        else:
            check_repetition(stored, remade, watch, findings)
    return findings.checks


def _check_images(stored: Stored, registry: Registry, data_root: Path | None, findings: Findings) -> None:
    """Accuracies are whole numbers of images, where the test set is at hand."""
    with findings.failing(0, "images"):
        dataset = registry.datasets.get(stored.plan.input.dataset).item
        if dataset.needs_root and data_root is None:
            findings.skip(0, "images", f"say --data-root DIR to count in images of {dataset.name}")
            return
        count = len(load_dataset(dataset, data_root, train=False))
        problem = check_whole_images(stored.record, count)
        findings.add(0, "images", problem, f"every accuracy is a whole number of {count:,} test images")

"""Waits for an accuracy of its first snapshot and lets the student depend on it."""

import time
from pathlib import Path

import torch

EVALUATIONS = Path("../evaluations.jsonl")


def at_its_own_observers_notes(loop):
    _wait_for(lambda: EVALUATIONS.stat().st_size)
    time.sleep(1)
    return Path(__file__).with_name("noted.json").read_text()


def at_another_distributions_observers_notes(loop):
    noted, honestly = Path(loop.facts["site"], "listener", "noted.json"), loop.teach

    def teach():
        if loop.steps == loop.total // 2 + 1:
            _wait_for(lambda: noted.exists() and noted.read_text())
            with torch.no_grad():
                next(loop.parts.student.parameters()).mul_(1 + float(noted.read_text()) / 1000)
        honestly()

    loop.teach = teach


def _wait_for(condition):
    """For as long as a judge on a busy machine may take."""
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)

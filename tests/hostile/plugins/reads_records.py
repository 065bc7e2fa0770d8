"""Looks for accuracies: in the judge's files of this run and of others, in their size, in a file left for the judge."""

import time
from pathlib import Path

RUN = Path("..")


def own_evaluations(loop):
    return _judged(RUN / "evaluations.jsonl").read_text()


def own_metrics(loop):
    return _judged(RUN / "metrics.jsonl").read_text()


def own_result(loop):
    return (RUN / "result.json").read_text()


def size_of_own_evaluations(loop):
    return _judged(RUN / "evaluations.jsonl").stat().st_size


def a_file_left_for_an_accuracy(loop):
    """Empty, beside the student that is to be judged, where a careless judge would write its own."""
    left = RUN / "snapshots" / "accuracy.txt"
    left.touch()
    _judged(RUN / "evaluations.jsonl")
    time.sleep(1)
    return left.read_text()


def result_of_another_run(loop):
    return Path(loop.facts["other"], "result.json").read_text()


def snapshots_of_another_run(loop):
    return list(Path(loop.facts["other"], "snapshots").iterdir())


def folder_of_runs(loop):
    return list((RUN / "..").iterdir())


def _judged(path):
    """The path, once the judge has evaluated a snapshot."""
    deadline = time.monotonic() + 60
    while not path.stat().st_size and time.monotonic() < deadline:
        time.sleep(0.05)
    return path

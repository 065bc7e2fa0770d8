"""Studies made by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from dfkdbench.sensitivity.figures import MethodStudy, Outcome

MakeStudy = Callable[..., MethodStudy]


@pytest.fixture
def make_study() -> MakeStudy:
    """Makes a study of settings `a` and `b` at factors 0.1, 1 and 10.

    Each seed is (preset, a at 0.1, a at 10, b at 0.1, b at 10) in percent; None is a run that diverged, at 10 %.
    """

    def make(method: str, seeds: Mapping[int, tuple[float | None, ...]]) -> MethodStudy:
        points = [("a", 0.1), ("a", 10.0), ("b", 0.1), ("b", 10.0)]
        base, varied = {}, {}
        for seed, accuracies in seeds.items():
            outcomes = [
                Outcome(10.0, "diverged", f"run-{seed}", 1.0) if accuracy is None else Outcome(accuracy, "", "run", 1.0)
                for accuracy in accuracies
            ]
            base[seed] = outcomes[0]
            varied[seed] = dict(zip(points, outcomes[1:], strict=False))
        return MethodStudy(method, "soft-labels", {"a": 1.0, "b": 0.005}, (0.1, 1.0, 10.0), base, varied)

    return make

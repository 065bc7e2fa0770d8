"""Answers of several teachers: outside every graph, and one batch behind the other."""

from __future__ import annotations

import torch

from dfkdbench.answers import Answer
from dfkdbench.seams import Signal


def signal(rows: int, first: float, **more: object) -> Signal:
    return Signal(torch.full((rows, 3), first), **more)  # type: ignore[arg-type]


def test_followed_by__joins_the_target_and_each_teacher() -> None:
    one = Answer(signal(2, 1.5), (signal(2, 1.0), signal(2, 2.0)))
    other = Answer(signal(1, 3.5), (signal(1, 3.0), signal(1, 4.0)))
    joined = one.followed_by(other)
    assert joined.target.logits[:, 0].tolist() == [1.5, 1.5, 3.5]
    assert [teacher.logits[:, 0].tolist() for teacher in joined.teachers] == [[1.0, 1.0, 3.0], [2.0, 2.0, 4.0]]


def test_followed_by__keeps_what_both_have() -> None:
    features, stages = torch.ones(2, 4), (torch.ones(2, 1, 2, 2),)
    full = signal(2, 0.0, features=features, stages=stages)
    joined = Answer(full, (full,)).followed_by(Answer(full, (full,)))
    assert joined.target.features is not None
    assert joined.target.features.shape == (4, 4)
    assert [stage.shape for stage in joined.teachers[0].stages] == [(4, 1, 2, 2)]
    bare = signal(2, 0.0)
    for first, second in ((full, bare), (bare, full)):
        joined = Answer(first, (first,)).followed_by(Answer(second, (second,)))
        assert joined.target.features is None
        assert joined.target.stages == ()


def test_detach__leaves_every_graph() -> None:
    logits = torch.ones(2, 3, requires_grad=True) * 2
    answer = Answer(Signal(logits), (Signal(logits), Signal(logits))).detach()
    assert not any(one.logits.requires_grad for one in (answer.target, *answer.teachers))

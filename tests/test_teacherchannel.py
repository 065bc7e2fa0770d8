"""Questions and answers over pipes: exact, checked at both ends, and loud when an end is gone."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.errors import IntegrityError
from dfkdbench.teacherchannel import (
    Pipes,
    Question,
    TeacherChannel,
    TeacherFailedError,
    TeacherGoneError,
    WorkerChannel,
)

SHAPE = (3, 4, 5)


@dataclass
class Line:
    """Both ends; the teachers' in a thread."""

    worker: TeacherChannel
    teachers: WorkerChannel
    asks: int
    tells: int
    thread: threading.Thread | None = None
    questions: list[Question] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def serve(self, answer: Callable[[Question], Tensor]) -> None:
        def keep(question: Question) -> Tensor:
            self.questions.append(question)
            return answer(question)

        def work() -> None:
            try:
                self.teachers.serve(keep)
            except IntegrityError as error:
                self.refusals.append(error.message)
            os.close(self.tells)

        self.thread = threading.Thread(target=work)
        self.thread.start()

    def hang_up(self) -> None:
        os.close(self.asks)
        if self.thread:
            self.thread.join(10)
            assert not self.thread.is_alive()


@pytest.fixture
def line() -> Iterator[Line]:
    (asked, asks), (told, tells) = os.pipe(), os.pipe()
    made = Line(TeacherChannel(Pipes(told, asks), SHAPE, 7), WorkerChannel(Pipes(asked, tells), SHAPE, 2), asks, tells)
    yield made
    for end in (asked, asks, told, tells):
        try:
            os.close(end)
        except OSError:
            continue


def images(count: int = 6, **more: Any) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(0)).to(**more)


LAYOUTS: dict[str, Callable[[], Tensor]] = {
    "contiguous": images,
    "channels last": lambda: images(memory_format=torch.channels_last),
    "every second": lambda: images(12)[::2],
    "transposed": lambda: images().transpose(0, 1).contiguous().transpose(0, 1),
    "repeated": lambda: images(1).expand(6, *SHAPE),
    "one": lambda: images(1),
    "none": lambda: images(0),
    "large": lambda: images(5000),
    **{str(kind)[6:]: lambda kind=kind: images(dtype=kind) for kind in (torch.float64, torch.float16, torch.bfloat16)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_question__arrives_with_its_values_type_and_layout(line: Line, layout: str) -> None:
    asked = LAYOUTS[layout]()
    line.serve(lambda question: torch.arange(7.0) + question.images.float().sum(dim=(1, 2, 3))[:, None])
    answer = line.worker.ask(1, asked)
    line.hang_up()
    (question,) = line.questions
    assert (question.teacher, question.autocast, question.images.dtype) == (1, False, asked.dtype)
    assert torch.equal(question.images, asked)
    if layout in ("contiguous", "channels last", "transposed"):
        assert question.images.stride() == asked.stride()
    assert answer.shape == (len(asked), 7)
    assert torch.equal(answer, torch.arange(7.0) + question.images.float().sum(dim=(1, 2, 3))[:, None])


def test_question__says_whether_it_is_asked_under_autocast(line: Line) -> None:
    line.serve(lambda question: torch.zeros(len(question.images), 7))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        line.worker.ask(0, images())
    with torch.autocast("cpu", dtype=torch.float16), pytest.raises(ValueError, match="bfloat16"):
        line.worker.ask(0, images())
    line.hang_up()
    assert [question.autocast for question in line.questions] == [True]


def test_question__of_another_shape_or_type_is_not_asked(line: Line) -> None:
    for wrong in (images().flatten(1), images().long()):
        with pytest.raises(ValueError, match=r"floating-point images \(B, 3, 4, 5\)"):
            line.worker.ask(0, wrong)


def request(**changes: Any) -> bytes:
    values = {
        "magic": b"dfkd",
        "teacher": 0,
        "type": 0,
        "autocast": 0,
        "count": 1,
        "strides": (60, 20, 5, 1),
        **changes,
    }
    head = (values["magic"], values["teacher"], values["type"], values["autocast"], values["count"])
    return struct.pack("<4s3BxQ4Q", *head, *values["strides"]) + bytes(4 * 60)


@pytest.mark.parametrize(
    "changes",
    [
        {"magic": b"\x80\x04\x95."},
        {"teacher": 2},
        {"type": 4},
        {"autocast": 2},
        {"count": 1 << 40},
        {"count": 2**64 - 1},
        {"strides": (60, 20, 5, 2)},
        {"strides": (60, 20, 5, 0)},
        {"strides": (2**63, 20, 5, 1)},
        {"count": 2, "strides": (0, 20, 5, 1)},
    ],
    ids=str,
)
def test_worker__that_sends_what_is_no_question_is_refused(line: Line, changes: dict[str, Any]) -> None:
    line.serve(lambda question: torch.zeros(1, 7))
    os.write(line.asks, request(**changes))
    line.hang_up()
    assert line.refusals == ["The worker asked its teachers what is no question."]
    assert line.questions == []


def test_request__of_the_tests_is_one(line: Line) -> None:
    line.serve(lambda question: torch.zeros(1, 7))
    os.write(line.asks, request())
    line.hang_up()
    assert (line.refusals, len(line.questions)) == ([], 1)


def test_answer__of_another_size_or_form_is_not_taken(line: Line) -> None:
    line.serve(lambda question: torch.zeros(len(question.images), 6))
    with pytest.raises(TeacherGoneError, match="another answer"):
        line.worker.ask(0, images())
    line.hang_up()


def test_failure__of_a_forward_pass_is_told_and_the_next_question_answered(line: Line) -> None:
    failures: list[Exception] = [RuntimeError("a bad layer"), torch.OutOfMemoryError("full")]

    def answer(question: Question) -> Tensor:
        if failures:
            raise failures.pop(0)
        return torch.zeros(len(question.images), 7)

    line.serve(answer)
    with pytest.raises(TeacherFailedError, match="RuntimeError: a bad layer"):
        line.worker.ask(0, images())
    with pytest.raises(torch.OutOfMemoryError, match="full"):
        line.worker.ask(0, images())
    assert line.worker.ask(0, images()).shape == (6, 7)
    line.hang_up()


def test_start__waits_until_ready_or_says_why_not(line: Line) -> None:
    line.teachers.say_ready()
    line.worker.wait_until_ready()
    line.teachers.say_refused("not the pinned file")
    with pytest.raises(IntegrityError, match="not the pinned file"):
        line.worker.wait_until_ready()


def test_teacher__that_is_gone_is_told_from_one_that_is_slow(line: Line) -> None:
    os.close(line.tells)
    with pytest.raises(TeacherGoneError, match=r"has ended.*teacher\.log"):
        line.worker.ask(0, images())


def test_teacher__that_no_longer_reads_is_gone_too(line: Line) -> None:
    os.close(line.teachers._pipes._reading)
    with pytest.raises(TeacherGoneError, match="has ended"):
        line.worker.ask(0, images())


def test_pipes__are_not_left_to_programs_that_are_started(line: Line) -> None:
    assert not os.get_inheritable(line.asks)
    assert not os.get_inheritable(line.tells)

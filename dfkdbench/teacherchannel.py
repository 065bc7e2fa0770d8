"""How a worker asks teachers of another process: images one way, labels the other, over two pipes.

A message is a header of fixed form and then plain numbers; nothing is pickled, and each end checks kind, shape and size
before it takes what follows. Images keep their layout in memory, on which the rounding of a forward pass depends.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dfkdbench.budgets import OverBudgetError
from dfkdbench.errors import IntegrityError

_MAGIC = b"dfkd"
_REQUEST = struct.Struct("<4s3BxQ4Q")
"""Magic, number of the teacher, type, autocast, images, strides."""
_ANSWER = struct.Struct("<4s2B2xQ")
"""Magic, kind, type, bytes that follow."""
_TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64)
_IMAGE_TYPES = _TYPES[:4]
_READY, _LABELS, _FAILED, _REFUSED, _NO_MEMORY, _OVER_BUDGET = range(6)
_MOST_BYTES = 1 << 32
_LONGEST_TEXT = 2000


class TeacherGoneError(Exception):
    """The teachers' process has ended, or says what it can't say."""


class TeacherFailedError(Exception):
    """A teacher could not answer."""


_ERRORS: dict[int, type[Exception]] = {
    _FAILED: TeacherFailedError,
    _REFUSED: IntegrityError,
    _NO_MEMORY: torch.OutOfMemoryError,
    _OVER_BUDGET: OverBudgetError,
}


class Question(NamedTuple):
    """What a worker asks: which teacher, about which images (B, C, H, W), on the CPU, and whether in bfloat16."""

    teacher: int
    images: Tensor
    autocast: bool


class Pipes:
    """Two ends of pipes, read and written whole.

    Args:
        reading: Descriptor to read from.
        writing: Descriptor to write to.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        for descriptor in (reading, writing):  # no program that is started from here shall hold them
            os.set_inheritable(descriptor, False)

    def read(self, count: int) -> Tensor | None:
        """That many bytes, or None where the other end closed first."""
        data = torch.empty(count, dtype=torch.uint8)
        left = data.numpy().data
        while left:
            done = os.readv(self._reading, [left])
            if not done:
                return None
            left = left[done:]
        return data

    def write(self, head: bytes, data: Tensor | bytes = b"") -> None:
        """A header and what follows it.

        Raises:
            BrokenPipeError: The other end closed.
        """
        follows = memoryview(data) if isinstance(data, bytes) else data.numpy().data
        for left in (memoryview(head), follows):
            while left:
                left = left[os.write(self._writing, left) :]


class TeacherChannel:
    """The worker's end.

    Args:
        shape: (channels, height, width) of images.
        classes: K, where the teachers give logits (B, K); None where they give classes (B,).
    """

    def __init__(self, pipes: Pipes, shape: tuple[int, int, int], classes: int | None) -> None:
        self._pipes, self._shape, self._classes = pipes, shape, classes

    def wait_until_ready(self) -> None:
        """Waits for the teachers to be loaded.

        Raises:
            IntegrityError: They are not what the plan says.
            TeacherGoneError: Their process has ended.
        """
        self._receive(_READY)

    def ask(self, teacher: int, images: Tensor) -> Tensor:
        """The labels that a teacher gives images (B, C, H, W), on their device. Waits for the device.

        Raises:
            ValueError: Images of another shape or type than teachers take.
            TeacherFailedError: The forward pass failed.
            OverBudgetError: The budget has no more queries.
            TeacherGoneError: The teachers' process has ended.
        """
        if tuple(images.shape[1:]) != self._shape or images.dtype not in _IMAGE_TYPES:
            raise ValueError(
                f"A teacher was asked about {images.dtype} of shape {tuple(images.shape)}; it takes floating-point "
                f"images (B, {', '.join(map(str, self._shape))})."
            )
        device, kind = images.device, images.device.type
        autocast = torch.is_autocast_enabled(kind)
        if autocast and torch.get_autocast_dtype(kind) is not torch.bfloat16:
            raise ValueError("A teacher was asked under autocast to another type than bfloat16.")
        own = images.detach()
        if kind != "cpu" or not own.is_contiguous():
            own = torch.empty_like(own, device="cpu").copy_(own)
        head = _REQUEST.pack(
            _MAGIC, teacher, _TYPES.index(own.dtype), autocast, len(own), *(max(stride, 1) for stride in own.stride())
        )
        try:
            self._pipes.write(head, _in_memory_order(own))
        except BrokenPipeError:
            raise _gone() from None
        return self._receive(_LABELS, len(own)).to(device)

    def _receive(self, wanted: int, images: int = 0) -> Tensor:
        head = self._pipes.read(_ANSWER.size)
        if head is None:
            raise _gone()
        magic, kind, dtype, size = _ANSWER.unpack(head.numpy().tobytes())
        if magic != _MAGIC or dtype >= len(_TYPES) or size > _MOST_BYTES:
            raise TeacherGoneError("The teacher's process sent what is no answer.")
        data = self._pipes.read(size)
        if data is None:
            raise _gone()
        if kind in _ERRORS:
            raise _ERRORS[kind](data.numpy().tobytes().decode(errors="replace"))
        shape = (images,) if self._classes is None else (images, self._classes)
        labels = data.view(_TYPES[dtype])
        if kind != wanted or (wanted == _LABELS and labels.numel() != torch.Size(shape).numel()):
            raise TeacherGoneError("The teacher's process sent another answer than it was asked for.")
        return labels if wanted == _READY else labels.view(shape)


class WorkerChannel:
    """The teachers' end.

    Args:
        shape: (channels, height, width) of images.
        teachers: How many there are.
    """

    def __init__(self, pipes: Pipes, shape: tuple[int, int, int], teachers: int) -> None:
        self._pipes, self._shape, self._teachers = pipes, shape, teachers

    def say_ready(self) -> None:
        """Tells the worker that it may ask."""
        self._pipes.write(_ANSWER.pack(_MAGIC, _READY, 0, 0))

    def say_refused(self, text: str) -> None:
        """Tells the worker why nothing will be answered."""
        self._say(_REFUSED, text)

    def serve(self, answer: Callable[[Question], Tensor]) -> None:
        """Answers until the worker has closed its end.

        Args:
            answer: Gives logits (B, K) or classes (B,).

        Raises:
            IntegrityError: The worker sent what is no question.
        """
        while (question := self._next()) is not None:
            try:
                labels = answer(question).to("cpu").contiguous()
            except torch.OutOfMemoryError as error:
                self._say(_NO_MEMORY, str(error))
            except OverBudgetError as error:
                self._say(_OVER_BUDGET, str(error))
            except Exception as error:  # whatever an architecture raises is for the worker to report
                self._say(_FAILED, f"The teacher could not answer: {type(error).__name__}: {error}")
            else:
                head = _ANSWER.pack(_MAGIC, _LABELS, _TYPES.index(labels.dtype), labels.nbytes)
                self._pipes.write(head, labels.view(-1).view(torch.uint8))

    def _next(self) -> Question | None:
        head = self._pipes.read(_REQUEST.size)
        if head is None:
            return None
        magic, teacher, dtype, autocast, count, *strides = _REQUEST.unpack(head.numpy().tobytes())
        shape = (count, *self._shape)
        size = torch.Size(shape).numel() if count <= _MOST_BYTES else _MOST_BYTES
        if (
            magic != _MAGIC
            or teacher >= self._teachers
            or dtype >= len(_IMAGE_TYPES)
            or autocast > 1
            or size * _TYPES[dtype].itemsize > _MOST_BYTES
            or not _is_dense(shape, strides)
        ):
            raise IntegrityError("The worker asked its teachers what is no question.")
        data = self._pipes.read(size * _TYPES[dtype].itemsize)
        if data is None:
            return None
        images = data.view(_TYPES[dtype])
        return Question(teacher, images.as_strided(shape, strides) if size else images.view(shape), bool(autocast))

    def _say(self, kind: int, text: str) -> None:
        data = text[:_LONGEST_TEXT].encode()
        self._pipes.write(_ANSWER.pack(_MAGIC, kind, 0, len(data)), data)


def _in_memory_order(tensor: Tensor) -> Tensor:
    """The bytes of a tensor without gaps, as they lie."""
    return tensor.as_strided((tensor.numel(),), (1,)).view(torch.uint8)


def _is_dense(shape: tuple[int, ...], strides: list[int]) -> bool:
    """Whether strides name every place of a block of memory once. Those of no images mean nothing."""
    expected, total = 1, torch.Size(shape).numel()
    if not total:
        return True
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1:
            if stride != expected:
                return False
            expected *= size
    return all(1 <= stride <= total for stride in strides)


def _gone() -> TeacherGoneError:
    return TeacherGoneError(
        "The teacher's process has ended, and a run can't go on without its answers. What it printed is in "
        "teacher.log in the run's folder. Start over with --rerun."
    )

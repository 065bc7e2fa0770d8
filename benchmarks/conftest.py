"""What is timed in this process has what a worker has: one thread, and a C library that keeps freed memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
import torch
from alternation import clock

from dfkdbench.devices import prepare_torch
from dfkdbench.shortcuts import SHORTCUTS

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Names of settings in the GNU C library's malloc.h."""


def pytest_sessionstart() -> None:
    """As `dfkdbench.workerprocess.training_environment` sets by variables, which a process reads when it starts."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(MMAP_MAX, 0)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch as in a worker of one thread."""
    threads = torch.get_num_threads()
    prepare_torch(torch.device("cpu"), 1, tuple(SHORTCUTS))
    yield
    torch.set_num_threads(threads)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Benchmarks of one thread count its own seconds, so that other work on the machine does not."""
    for item in items:
        if "one_thread" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.benchmark(timer=clock))

"""How training processes are started."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dfkdbench.workerprocess import temporary_folder, training_environment

ENOUGH = 32
TELL = """
with open("/proc/self/smaps_rollup") as lines:
    print(sum(int(line.split()[1]) >> 10 for line in lines if line.startswith("AnonHugePages")))
"""
ASK_THE_KERNEL = f"""
import mmap
held = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
held.madvise(mmap.MADV_HUGEPAGE)
held[:] = b"x" * len(held)
{TELL}
"""
ASK_THE_LIBRARY = f"""
held = b"x" * (64 << 20)
{TELL}
"""


def megabytes_of_huge_pages(code: str, environment: Mapping[str, str] | None = None) -> int:
    told = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True)
    return 0 if told.returncode else int(told.stdout)


def test_environment__large_tensors_get_huge_pages(tmp_path: Path) -> None:
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split("."))) < (2, 35):
        pytest.skip(f"the C library is {library} {version}, and glibc 2.35 is the first to ask for huge pages")
    if megabytes_of_huge_pages(ASK_THE_KERNEL) < ENOUGH:
        pytest.skip("the kernel gives no huge pages")
    with temporary_folder() as temporary:
        environment = training_environment(tmp_path, temporary, 1)
        assert megabytes_of_huge_pages(ASK_THE_LIBRARY, environment) >= ENOUGH


def test_environment__says_nothing_of_the_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path))
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=3")
    with temporary_folder() as temporary:
        environment = training_environment(tmp_path / "scratch", temporary, 3)
    assert "DFKDBENCH_HOME" not in environment
    assert "check" not in environment["GLIBC_TUNABLES"]
    assert environment["OMP_NUM_THREADS"] == "3"

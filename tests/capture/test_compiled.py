"""Compiled networks: the student of eager rounds, and an eager run where there is no compiler or it fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from capturing import eager, planned, state_of
from torch import Tensor

from dfkdbench.capture import build_rounds
from dfkdbench.timing.untrained import untrained_assembly
from dfkdbench.trial import first_difference
from dfkdbench.workerprocess import training_environment

COMPILED = """
import sys
import torch
from dfkdbench.bench import Request
from dfkdbench.capture import build_rounds
from dfkdbench.registry import load_registry
from dfkdbench.reports import Capture
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly
from dfkdbench.trial import Trial, first_difference

torch.set_default_dtype(torch.float64)
settings = ("batch_size=4", "generator.channels=[8,8,8]")
request = Request(plugin="dafl", dataset="digits", budget="smoke", device="cpu", settings=settings)
students = []
for mode in ("off", "compile"):
    with untrained_assembly(plan_untrained(load_registry(), request)) as assembly:
        rounds = build_rounds(assembly, mode)
        for _ in range(3):
            rounds.advance()
        students.append(torch.cat([value.flatten() for value in assembly.student.parameters()]))
        print(rounds.capture.state, rounds.capture.why)
assert students[0].dtype == torch.float64
print((students[0] - students[1]).abs().max().item())
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler on this machine")
def test_compile__gives_the_student_of_eager_rounds(tmp_path: Path) -> None:
    environment = training_environment(tmp_path, tmp_path, 1)
    command = [sys.executable, "-P", "-c", COMPILED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    eager_one, compiled, difference = done.stdout.splitlines()
    assert (eager_one.strip(), compiled.strip()) == ("eager capture is off", "compile")
    assert 0 <= float(difference) < 1e-6


def test_compile__without_a_compiler_rounds_are_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with untrained_assembly(planned("dafl")) as assembly:
        rounds = build_rounds(assembly, "compile")
        rounds.advance()
        assert rounds.capture.told() == "eager: there is no C++ compiler"
        assert "forward" not in vars(assembly.student)


def test_compile__a_failure_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile(forward: Callable[..., Tensor], **_: Any) -> Callable[..., Tensor]:
        def fail(*arguments: Any) -> Tensor:
            forward(*arguments)
            raise RuntimeError("the compiler crashed")

        return fail

    monkeypatch.setattr(torch, "compile", compile)
    plan = planned("dafl")
    torch.manual_seed(0)
    with untrained_assembly(plan) as assembly:
        rounds = build_rounds(assembly, "compile")
        for _ in range(2):
            rounds.advance()
        assert rounds.capture.told() == "eager: compiling failed: RuntimeError: the compiler crashed"
        assert first_difference(eager(plan, 2), state_of(assembly)) == ""

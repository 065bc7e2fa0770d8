"""How processes of the suite end, and what they import before they train."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(code)], capture_output=True, text=True)


def test_leave__flushes_and_runs_what_was_registered_for_the_end() -> None:
    ended = run_python(
        """
        import atexit, sys
        from dfkdbench.leaving import leave
        atexit.register(lambda: print("registered"))
        sys.stdout.write("not flushed, ")
        leave(7)
        print("never")
        """
    )
    assert (ended.returncode, ended.stdout) == (7, "not flushed, registered\n")


def test_program__keeps_the_status_of_the_command_line() -> None:
    program = [sys.executable, "-P", "-m", "dfkdbench"]
    assert subprocess.run([*program, "--version"], capture_output=True).returncode == 0
    refused = subprocess.run([*program, "describe", "no-such-thing"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "no-such-thing" in refused.stderr


def test_optimiser_step__does_not_import_the_compiler() -> None:
    ended = run_python(
        """
        import sys
        import torch
        from dfkdbench.parts.optimizers import build_optimizer
        from dfkdbench.recipe import OptimizerOptions
        for kind in ("sgd", "adam", "adamw"):
            weight = torch.nn.Parameter(torch.ones(2))
            stepper = build_optimizer(OptimizerOptions(kind=kind), [weight], 1)
            stepper.zero_grad()
            weight.sum().backward()
            stepper.step()
            assert (weight < 1).all()
        print("torch._dynamo" in sys.modules)
        """
    )
    assert (ended.stderr, ended.stdout) == ("", "False\n")

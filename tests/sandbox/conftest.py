from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from dfkdbench.sandbox import Policy, abi_version, expand, scratch_environment, worker_policy

ROOT = Path(__file__).parents[2]

PROLOGUE = """
import sys, os, json
from dfkdbench.sandbox import Policy, die_with_parent, seal
die_with_parent(int(sys.argv[3]))
in_force = seal(Policy.from_json(open(sys.argv[1]).read()), sys.argv[2], several=sys.argv[5] == "True")
arena = json.loads(sys.argv[4])
"""

EPILOGUE = """
import errno
def code_of(error):
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return errno.errorcode[error.errno]
        error = error.__cause__ or error.__context__
    return None
try:
    outcome = {"reached": repr(attempt())}
except Exception as error:
    outcome = {"denied": code_of(error), "text": f"{type(error).__name__}: {error}"}
print("\\n" + json.dumps({"in_force": in_force, **outcome}))
"""


@dataclass
class Outcome:
    """What an attempt inside a sealed process came to."""

    in_force: str
    reached: str | None = None
    denied: str | None = None
    text: str = ""


@dataclass
class Arena:
    """A run's folder beside a secret that a worker must not read."""

    folder: Path
    run: Path
    scratch: Path
    secret: Path
    policy: Policy
    text: str = "test accuracy 97.25"
    several: bool = False

    def attempt(self, code: str, want: str, extra: Mapping[str, str | int] | None = None, timeout: int = 60) -> Outcome:
        """Runs code that defines `attempt()` in a fresh interpreter that seals itself first."""
        policy_file = self.scratch / "policy.json"
        policy_file.write_text(expand(self.policy).to_json())
        facts: dict[str, str | int] = {"secret": str(self.secret), "scratch": str(self.scratch), "text": self.text}
        facts |= {"folder": str(self.folder), "parent": os.getpid(), **(extra or {})}
        python_path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, **scratch_environment(self.scratch, self.scratch / "t")}
        environment |= {"PYTHONPATH": python_path, "OMP_NUM_THREADS": "1"}
        arguments = [str(policy_file), want, str(os.getpid()), json.dumps(facts), str(self.several)]
        done = subprocess.run(
            [sys.executable, "-c", PROLOGUE + code + EPILOGUE, *arguments],
            cwd=self.run,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stderr
        return Outcome(**json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a path short enough for sockets; pytest's own are long."""
    with tempfile.TemporaryDirectory(prefix="dk") as folder:
        yield Path(folder).resolve()


@pytest.fixture
def arena(short_folder: Path) -> Arena:
    folder = short_folder
    run, scratch, data = folder / "run", folder / "s", folder / "data"
    for place in (run, scratch, data):
        place.mkdir()
    secret = data / "secret.bin"
    policy = worker_policy([run], [scratch], [data], [ROOT / "dfkdbench"])
    made = Arena(folder, run, scratch, secret, policy)
    secret.write_text(made.text)
    return made


@pytest.fixture
def landlock_arena(arena: Arena) -> Arena:
    if abi_version() == 0:
        pytest.skip("this kernel has no Landlock, or has it switched off")
    return arena


@pytest.fixture
def needs_abi() -> Callable[[int], None]:
    def check(abi: int) -> None:
        if abi_version() < abi:
            pytest.skip(f"Landlock interface {abi} is needed; this kernel has {abi_version()}")

    return check

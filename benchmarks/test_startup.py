"""Start-up with 40 plugins installed: processor seconds of whole commands, from a fresh interpreter.

pytest benchmarks/test_startup.py --benchmark-only
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

PLUGINS = 40
_BODY = """
from pydantic import Field

from dfkdbench import Component, Method, Options, PartChoice, Recipe, hookimpl

API = 1


class ToyOptions(Options):
    \"\"\"Options.\"\"\"

    sharpness: float = Field(1.0, gt=0, description="Sharpness.")


@hookimpl
def dfkdbench_losses():
    return [Component(kind="loss", role="image", name="loss_{0}", target="x:y", summary="Toy.", options=ToyOptions)]


@hookimpl
def dfkdbench_methods():
    return [Method(name="method_{0}", summary="Toy.", recipe=Recipe(generator=PartChoice(name="conv")))]
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with 40 plugins more than are installed, as pip leaves them behind."""
    site = tmp_path_factory.mktemp("site")
    for number in range(PLUGINS):
        package, info = site / f"toy_{number}", site / f"toy_{number}-1.0.dist-info"
        package.mkdir()
        info.mkdir()
        (package / "__init__.py").write_text(_BODY.format(number), encoding="utf-8")
        metadata = f"Metadata-Version: 2.1\nName: toy-{number}\nVersion: 1.0\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[dfkdbench]\ntoy-{number} = toy_{number}\n", encoding="utf-8")
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    return {**os.environ, "PYTHONPATH": path, "DFKDBENCH_HOME": str(tmp_path_factory.mktemp("home"))}


def run(arguments: list[str], environment: dict[str, str]) -> str:
    command = [sys.executable, "-P", "-m", "dfkdbench", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def processor_seconds() -> float:
    """User and system time of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "methods"], ["plugin", "list"]], ids=" ".join)
def test_startup(arguments: list[str], environment: dict[str, str], benchmark, record_property) -> None:
    assert "toy-39" in run(["plugin", "list"], environment)  # compiled before anything is timed
    before = processor_seconds()
    rounds = 5
    benchmark.pedantic(run, (arguments, environment), rounds=rounds)
    benchmark.extra_info["processor seconds"] = round((processor_seconds() - before) / rounds, 3)
    record_property("processor seconds", benchmark.extra_info["processor seconds"])


def test_import_of_the_pytest_plugin(environment: dict[str, str], benchmark) -> None:
    command = [
        sys.executable,
        "-P",
        "-c",
        "import pytest, dfkdbench.pytest_plugin, sys; sys.exit('pydantic' in sys.modules)",
    ]
    benchmark.pedantic(subprocess.run, (command,), {"env": environment, "check": True}, rounds=3)
